//! Runs a property over many generated worlds. A world that breaks it is cut down to the
//! objects that matter and printed with the seed that makes it.
//!
//! `PROPERTY_CASES=N` runs N worlds a property; `PROPERTY_SEED=N` runs that one world alone.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use crate::worlds::{World, any_world};

/// Whether a property holds, or what was found instead.
pub type Outcome = Result<(), String>;

/// Fails unless the property holds in each of so many worlds.
pub fn in_worlds(cases: u64, property: impl Fn(&World) -> Outcome) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        )
    };
    let seeds = match number("PROPERTY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PROPERTY_CASES").unwrap_or(cases),
    };
    for seed in seeds {
        let world = any_world(seed);
        if let Err(why) = tried(&property, &world) {
            let (world, why) = smallest(&property, world, why);
            panic!(
                "{why}\nagain with PROPERTY_SEED={seed}; what of that world it takes:\n{}",
                world
                    .objects
                    .iter()
                    .map(|object| format!("{object}\n"))
                    .collect::<String>()
            );
        }
    }
}

/// A panic within is a finding like any other.
fn tried(property: &impl Fn(&World) -> Outcome, world: &World) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| property(world))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(text.unwrap_or_else(|| "a panic".into()))
    })
}

/// Takes objects away while the property still fails.
fn smallest(
    property: &impl Fn(&World) -> Outcome,
    mut world: World,
    mut why: String,
) -> (World, String) {
    let mut i = 0;
    while i < world.objects.len() {
        let mut fewer = world.clone();
        fewer.objects.remove(i);
        match tried(property, &fewer) {
            Err(still) => (world, why, i) = (fewer, still, 0),
            Ok(()) => i += 1,
        }
    }
    (world, why)
}

/// Two lists that should be one, and where they first differ.
pub fn same<T: PartialEq + Debug>(what: &str, got: &T, want: &T) -> Outcome {
    if got == want {
        return Ok(());
    }
    Err(format!("{what} differ:\n got {got:?}\nwant {want:?}"))
}

/// `namespace/name` of a manifest; a Namespace's is its name.
pub fn name_of(object: &Value) -> String {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().expect("every object has a name");
    match meta["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}
