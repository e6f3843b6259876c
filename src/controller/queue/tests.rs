use super::*;

/// A queue, and a clock that only the test moves.
struct Bench {
    queue: Queue,
    now: Instant,
}

fn key(name: &str) -> NamespacedName {
    NamespacedName::new("claude", name)
}

fn wall(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

const OK: Ended = Ended::Settled;
const FAILED: Ended = Ended::Failed {
    after: Duration::ZERO,
};

impl Bench {
    fn new() -> Self {
        Self {
            queue: Queue::default(),
            now: Instant::now(),
        }
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }

    fn push(&mut self, name: &str, lane: Lane) -> bool {
        self.queue.push(&key(name), lane, self.now)
    }

    fn pop(&mut self) -> Option<(String, Lane)> {
        let (key, lane) = self.queue.pop(self.now, true)?;
        Some((key.name.to_string(), lane))
    }

    fn ended(&mut self, name: &str, how: Ended) {
        self.queue.ended(&key(name), how, None, self.now);
    }

    fn wake(&mut self, second: i64) {
        self.queue.wake(wall(second), self.now);
    }

    /// Milliseconds from now until the next delayed one is ready.
    fn delay(&self) -> Option<u128> {
        Some((self.queue.next_release()? - self.now).as_millis())
    }

    /// Plans `name` once, to the given end.
    fn cycle(&mut self, name: &str, how: Ended) {
        self.push(name, Lane::Fresh);
        assert_eq!(self.pop(), fresh(name));
        self.ended(name, how);
    }
}

fn fresh(name: &str) -> Option<(String, Lane)> {
    Some((name.into(), Lane::Fresh))
}

fn backlog(name: &str) -> Option<(String, Lane)> {
    Some((name.into(), Lane::Backlog))
}

#[test]
fn the_first_edit_is_ready_at_once_and_a_burst_makes_one_plan() {
    let mut bench = Bench::new();
    bench.push("a", Lane::Fresh);
    bench.push("a", Lane::Fresh);
    assert_eq!(bench.pop(), fresh("a"));
    assert_eq!(bench.pop(), None);
    bench.after(5).ended("a", OK);
    for _ in 0..10 {
        bench.after(1).push("a", Lane::Fresh);
        assert_eq!(bench.pop(), None, "within 50 ms of the latest start");
    }
    assert_eq!(bench.delay(), Some(35));
    bench.after(35);
    assert_eq!(bench.pop(), fresh("a"));
    assert_eq!(bench.pop(), None);
}

#[test]
fn constant_churn_starves_nothing() {
    let mut bench = Bench::new();
    let mut starts = 0;
    for _ in 0..1000 {
        bench.after(1).push("a", Lane::Fresh);
        if bench.pop().is_some() {
            starts += 1;
            bench.ended("a", OK);
        }
    }
    assert_eq!(starts, 20, "one every 50 ms");
}

#[test]
fn one_workspace_is_never_planned_twice_at_a_time() {
    let mut bench = Bench::new();
    assert!(!bench.push("a", Lane::Fresh));
    assert_eq!(bench.pop(), fresh("a"));
    bench.after(100);
    assert!(
        bench.push("a", Lane::Fresh),
        "the plan in flight is out of date"
    );
    assert_eq!(bench.pop(), None);
    bench.after(100).ended("a", OK);
    assert_eq!(bench.pop(), fresh("a"), "again, as it changed in flight");
    bench.after(100).ended("a", OK);
    assert_eq!(bench.pop(), None);
}

#[test]
fn an_edit_in_flight_waits_for_its_batch() {
    let mut bench = Bench::new();
    bench.push("a", Lane::Fresh);
    bench.pop();
    bench.after(10).push("a", Lane::Backlog);
    bench.push("a", Lane::Fresh);
    bench.ended("a", OK);
    assert_eq!((bench.pop(), bench.delay()), (None, Some(40)));
    bench.after(40);
    assert_eq!(bench.pop(), fresh("a"), "in the better lane of the two");
}

#[test]
fn fresh_edits_go_before_the_backlog_in_order_of_arrival() {
    let mut bench = Bench::new();
    for name in ["b1", "b2"] {
        bench.push(name, Lane::Backlog);
    }
    for name in ["f1", "f2"] {
        bench.push(name, Lane::Fresh);
    }
    let order: Vec<_> = std::iter::from_fn(|| bench.pop()).collect();
    assert_eq!(
        order,
        [fresh("f1"), fresh("f2"), backlog("b1"), backlog("b2")].map(Option::unwrap)
    );
}

#[test]
fn an_edit_lifts_a_workspace_out_of_the_backlog_and_nothing_sinks_it() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.push(name, Lane::Backlog);
    }
    bench.push("c", Lane::Fresh);
    bench.push("c", Lane::Backlog);
    assert_eq!(bench.pop(), fresh("c"));
    assert_eq!(
        [bench.pop(), bench.pop(), bench.pop()],
        [backlog("a"), backlog("b"), None]
    );
}

#[test]
fn the_backlog_has_every_eighth_pick() {
    let mut bench = Bench::new();
    for i in 0..16 {
        bench.push(&format!("f{i}"), Lane::Fresh);
    }
    for i in 0..4 {
        bench.push(&format!("b{i}"), Lane::Backlog);
    }
    let lanes: Vec<Lane> = std::iter::from_fn(|| bench.pop())
        .map(|(_, lane)| lane)
        .collect();
    let at: Vec<usize> = (0..20).filter(|i| lanes[*i] == Lane::Backlog).collect();
    assert_eq!(at, [7, 15, 18, 19]);
}

#[test]
fn only_fresh_work_is_given_out_when_only_that_is_wanted() {
    let mut bench = Bench::new();
    bench.push("b", Lane::Backlog);
    assert_eq!(bench.queue.pop(bench.now, false), None);
    bench.push("f", Lane::Fresh);
    assert_eq!(
        bench.queue.pop(bench.now, false),
        Some((key("f"), Lane::Fresh))
    );
    assert_eq!(bench.pop(), backlog("b"));
}

#[test]
fn failures_back_off_up_to_a_minute_and_success_forgets_them() {
    let mut bench = Bench::new();
    bench.push("a", Lane::Fresh);
    let mut delays = Vec::new();
    for attempt in 0..12 {
        assert_eq!(bench.pop(), fresh("a"));
        assert_eq!(bench.queue.failures(&key("a")), attempt);
        bench.ended("a", FAILED);
        let delay = bench.delay().expect("it is tried again");
        delays.push(delay);
        bench.after(delay as u64 - 1);
        assert_eq!(bench.pop(), None);
        bench.after(1);
    }
    let doubling = [
        100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000,
    ];
    assert_eq!(delays, doubling);
    assert_eq!(bench.pop(), fresh("a"));
    bench.ended("a", OK);
    assert_eq!(bench.queue.failures(&key("a")), 0);
    bench.after(50).cycle("a", FAILED);
    assert_eq!(bench.delay(), Some(100));
}

#[test]
fn an_edit_cuts_a_backoff_short_but_a_hot_loop_of_edits_does_not_spin() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.after(60_000).cycle("a", FAILED);
    }
    assert_eq!(bench.delay(), Some(25_600));
    bench.after(100).push("a", Lane::Backlog);
    assert_eq!(bench.delay(), Some(25_500), "only an edit does");
    bench.push("a", Lane::Fresh);
    assert_eq!(bench.delay(), Some(400));
    let mut starts = 0;
    for _ in 0..10_000 {
        bench.after(1).push("a", Lane::Fresh);
        if bench.pop().is_some() {
            starts += 1;
            bench.ended("a", FAILED);
        }
    }
    assert_eq!(starts, 20, "two a second");
}

#[test]
fn an_edit_during_a_failing_plan_is_tried_soon() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.after(60_000).cycle("a", FAILED);
    }
    bench.after(60_000);
    assert_eq!(bench.pop(), fresh("a"));
    bench.push("a", Lane::Fresh);
    bench.ended("a", FAILED);
    assert_eq!(bench.delay(), Some(500));
}

#[test]
fn the_server_may_ask_for_a_longer_delay_than_the_backoff_but_for_no_more_than_a_minute() {
    let mut bench = Bench::new();
    bench.cycle(
        "a",
        Ended::Failed {
            after: Duration::from_secs(5),
        },
    );
    assert_eq!(bench.delay(), Some(5000));
    bench.push("a", Lane::Fresh);
    assert_eq!(bench.delay(), Some(5000), "not even an edit goes before it");
    bench.cycle(
        "b",
        Ended::Failed {
            after: Duration::from_secs(3600),
        },
    );
    bench.after(5000);
    assert_eq!(bench.pop(), fresh("a"));
    assert_eq!(bench.delay(), Some(55_000));
}

#[test]
fn a_workspace_wakes_at_its_time_and_not_before() {
    let mut bench = Bench::new();
    bench.push("a", Lane::Fresh);
    bench.pop();
    bench
        .queue
        .ended(&key("a"), OK, Some(wall(1000)), bench.now);
    assert_eq!(bench.queue.next_wake(), Some(wall(1000)));
    bench.after(60_000).wake(999);
    assert_eq!(bench.pop(), None);
    bench.wake(1000);
    assert_eq!(bench.pop(), backlog("a"));
    assert_eq!(bench.queue.next_wake(), None);
}

#[test]
fn a_later_plan_replaces_the_time_to_wake() {
    let mut bench = Bench::new();
    for (wake, want) in [
        (Some(1000), Some(1000)),
        (Some(2000), Some(2000)),
        (None, None),
    ] {
        bench.after(50).push("a", Lane::Fresh);
        bench.pop();
        bench.queue.ended(&key("a"), OK, wake.map(wall), bench.now);
        assert_eq!(bench.queue.next_wake(), want.map(wall));
    }
}

#[test]
fn a_wake_up_in_flight_is_not_lost() {
    let mut bench = Bench::new();
    bench.push("a", Lane::Fresh);
    bench.pop();
    bench
        .queue
        .ended(&key("a"), OK, Some(wall(1000)), bench.now);
    bench.after(50).push("a", Lane::Fresh);
    bench.pop();
    bench.wake(1000);
    bench.after(50).ended("a", OK);
    assert_eq!(bench.pop(), backlog("a"));
}

#[test]
fn a_time_that_comes_cuts_a_backoff_short_and_forgets_no_failure() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.after(60_000).cycle("a", FAILED);
    }
    bench.after(60_000);
    assert_eq!(bench.pop(), fresh("a"));
    let wake = Some(wall(1000));
    bench.queue.ended(&key("a"), FAILED, wake, bench.now);
    bench.wake(999);
    assert_eq!(bench.delay(), Some(51_200));
    bench.after(100).wake(1000);
    assert_eq!(bench.delay(), Some(400), "not sooner than an edit");
    bench.after(400);
    assert_eq!(bench.pop(), fresh("a"));
    bench.ended("a", FAILED);
    assert_eq!(bench.delay(), Some(60_000));
}

#[test]
fn what_has_ended_twice_or_was_never_begun_is_ignored() {
    let mut bench = Bench::new();
    bench.ended("a", FAILED);
    bench.push("a", Lane::Fresh);
    bench.ended("a", FAILED);
    assert_eq!(bench.pop(), fresh("a"));
    bench.ended("a", OK);
    bench.ended("a", FAILED);
    assert_eq!((bench.pop(), bench.delay()), (None, None));
}

#[test]
fn the_depth_is_counted_by_lane() {
    let mut bench = Bench::new();
    bench.cycle("d", FAILED);
    bench.push("f", Lane::Fresh);
    bench.push("b", Lane::Backlog);
    bench.push("c", Lane::Backlog);
    assert_eq!(
        bench.queue.depth(),
        Depth {
            fresh: 1,
            backlog: 2,
            delayed: 1
        }
    );
}

#[test]
fn workspaces_that_came_and_went_are_forgotten() {
    let mut bench = Bench::new();
    for i in 0..10_000 {
        bench.after(1).cycle(&format!("w{i}"), OK);
    }
    assert!(
        bench.queue.entries.len() < 256,
        "{}",
        bench.queue.entries.len()
    );
}

#[test]
fn whatever_happens_everything_pushed_is_planned_after_its_latest_push() {
    use proptest::prelude::*;
    // Each step: a workspace, what happens to it, milliseconds that pass.
    let steps = prop::collection::vec((0_u8..4, 0_u8..6, 0_u64..80), 1..200);
    proptest!(|(steps in steps)| {
        let mut bench = Bench::new();
        let mut dirty = BTreeSet::new();
        let mut flying: BTreeSet<NamespacedName> = BTreeSet::new();
        for (name, action, millis) in steps {
            let name = key(&format!("w{name}"));
            bench.after(millis);
            match action {
                0 | 1 => {
                    let lane = if action == 0 { Lane::Fresh } else { Lane::Backlog };
                    let stale = bench.queue.push(&name, lane, bench.now);
                    prop_assert_eq!(stale, flying.contains(&name));
                    dirty.insert(name);
                }
                2 | 3 => {
                    if let Some((key, _)) = bench.queue.pop(bench.now, action == 2) {
                        dirty.remove(&key);
                        prop_assert!(flying.insert(key), "two at a time");
                    }
                }
                _ => {
                    let how = if action == 4 { OK } else { FAILED };
                    if flying.remove(&name) && how == FAILED {
                        dirty.insert(name.clone());
                    }
                    bench.queue.ended(&name, how, None, bench.now);
                }
            }
        }
        for name in flying {
            bench.queue.ended(&name, OK, None, bench.now);
        }
        bench.after(60_000);
        while let Some((key, _)) = bench.queue.pop(bench.now, true) {
            dirty.remove(&key);
            bench.queue.ended(&key, OK, None, bench.now);
            bench.after(60_000);
        }
        prop_assert!(dirty.is_empty(), "forgotten: {:?}", dirty);
    });
}
