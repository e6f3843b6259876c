use std::net::Ipv4Addr;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get as route;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::api::convert;

const LOADED: &str = r#"{"workspace":"claude/production","config":"k","revision":"r",
    "subjects":{"expected":2,"differ":["subjects-01"]},
    "files":{"jwt.json":"j","clusters.json":"c"},"error":"line 3"}"#;

/// Something that answers like this.
async fn served(loaded: impl Into<String>) -> (SocketAddr, Task<()>) {
    let loaded: String = loaded.into();
    serve(Router::new().route("/loaded", route(async move || loaded))).await
}

async fn serve(router: Router) -> (SocketAddr, Task<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = async move { axum::serve(listener, router).await.expect("it serves") };
    (address, Task(tokio::spawn(server)))
}

#[tokio::test]
async fn a_gateway_says_what_it_has_loaded_and_what_envoy_has_taken() {
    let (address, _server) = served(LOADED).await;
    let want = Loaded {
        workspace: "claude/production".into(),
        config: "k".into(),
        revision: "r".into(),
        subjects: 2,
        differ: vec!["subjects-01".into()],
        error: Some("line 3".into()),
        versions: [("jwt.json", "j"), ("clusters.json", "c")]
            .map(|(file, version)| (file.into(), version.into()))
            .into(),
    };
    assert_eq!(load(address, TIMEOUT).await, Load::Loaded(want));
    let nothing = json!({"workspace": null, "config": "k", "revision": null,
                         "subjects": {"expected": 0, "differ": []},
                         "files": {}, "error": null});
    let (address, _server) = served(nothing.to_string()).await;
    let Load::Loaded(loaded) = load(address, TIMEOUT).await else {
        panic!("it answers");
    };
    assert_eq!((&*loaded.revision, loaded.error), ("", None));
}

#[tokio::test]
async fn what_is_no_such_answer_is_not_taken_for_one() {
    let more = LOADED.replace("\"config\"", "\"more\": 1, \"config\"");
    let long = LOADED.replace("line 3", &"x".repeat(LONGEST));
    for loaded in ["", "[]", "null", &more, &long] {
        let (address, _server) = served(loaded).await;
        assert_eq!(
            load(address, TIMEOUT).await,
            Load::NotAGateway,
            "{}",
            loaded.len()
        );
    }
    let elsewhere = served(LOADED).await;
    let target = format!("http://{}/loaded", elsewhere.0);
    for router in [
        Router::new().route("/loaded", route(async move || Redirect::temporary(&target))),
        Router::new().route("/loaded", route(async || (StatusCode::FORBIDDEN, LOADED))),
    ] {
        let (address, _server) = serve(router).await;
        assert_eq!(
            load(address, TIMEOUT).await,
            Load::NotAGateway,
            "nor followed"
        );
    }
}

#[tokio::test]
async fn who_does_not_answer_holds_nobody_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let soon = Duration::from_millis(20);
    assert_eq!(load(address, soon).await, Load::Unreachable, "silent");
    drop(listener);
    assert_eq!(load(address, TIMEOUT).await, Load::Unreachable, "refused");
}

fn ask(pod: &str, awaited: &str, done: bool) -> Ask {
    let stored = json!({"metadata": {"name": pod, "namespace": "claude", "uid": pod}});
    let stored = serde_json::from_value(stored).expect("a Pod");
    let (name, facts) = convert::pod(&stored).expect("a name");
    Ask {
        pod: name,
        facts: Arc::new(facts),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        awaited: awaited.to_owned(),
        done,
    }
}

fn workspace() -> NamespacedName {
    NamespacedName::new("claude", "production")
}

#[tokio::test]
async fn it_asks_ever_less_often_until_it_hears_what_it_waits_for() {
    let (now, mut asker) = (Instant::now(), Asker::default());
    let key = (workspace(), Name::from("a"));
    let ahead = |asker: &Asker| asker.next().map(|next| next.duration_since(now));
    asker.expect(&workspace(), vec![ask("a", "1", false)], now);
    assert_eq!(ahead(&asker), Some(Duration::ZERO));
    let mut waits = Vec::new();
    for _ in 0..10 {
        asker.answered(&key, now);
        waits.push(ahead(&asker).expect("a time").as_millis());
    }
    assert_eq!(
        waits,
        [100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000, 15000]
    );
    asker.expect(&workspace(), vec![ask("a", "1", true)], now);
    let rarely = Duration::from_secs(240)..=Duration::from_secs(360);
    assert!(rarely.contains(&ahead(&asker).expect("a time")));
    // The same again changes nothing; something else to load is asked for at once.
    let before = ahead(&asker);
    asker.expect(&workspace(), vec![ask("a", "1", true)], now);
    assert_eq!(ahead(&asker), before);
    asker.expect(&workspace(), vec![ask("a", "2", false)], now);
    assert_eq!(ahead(&asker), Some(Duration::ZERO));
    asker.expect(&workspace(), Vec::new(), now);
    assert_eq!(ahead(&asker), None, "gone");
}

#[tokio::test]
async fn what_changes_while_it_is_being_asked_is_asked_for_right_after() {
    let (now, mut asker) = (Instant::now(), Asker::default());
    asker.expect(&workspace(), vec![ask("a", "1", false)], now);
    asker.start(now);
    assert_eq!(asker.next(), None, "it is being asked");
    asker.expect(&workspace(), vec![ask("a", "2", false)], now);
    assert_eq!(asker.next(), None);
    let reported = asker.answer().await;
    assert_eq!(
        (&*reported.pod.name, reported.load),
        ("a", Load::Unreachable)
    );
    assert!(asker.next().is_some_and(|next| next <= Instant::now()));
}
