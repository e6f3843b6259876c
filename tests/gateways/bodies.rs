//! Bodies of requests at random: members in any order and any form, repeated, escaped, nested,
//! out of range, and now and then a byte that is wrong.
//! Must not know what is allowed.

use crate::random::Random;
use crate::worlds::MODELS;

/// A body.
pub(crate) fn any_body(random: &mut Random) -> Vec<u8> {
    let mut members = Vec::new();
    if random.chance(97) {
        members.push(member(random, "model", model));
    }
    if random.chance(75) {
        members.push(member(random, "max_tokens", max_tokens));
    }
    if random.chance(95) {
        members.push(member(random, "messages", messages));
    }
    for (percent, make) in [
        (12, system as fn(&mut Random) -> String),
        (8, metadata),
        (9, tools),
        (7, fallbacks),
        (12, plain),
        (6, elsewhere),
    ] {
        if random.chance(percent) {
            members.push(make(random));
        }
    }
    if random.chance(15) {
        members.push(member(random, "stream", |random| {
            random.pick(&["true", "false"]).to_string()
        }));
    }
    if random.chance(3) && !members.is_empty() {
        let again = random.pick(&members).clone();
        members.push(again);
    }
    if random.chance(2) {
        members.push(member(random, "model", model));
    }
    if random.chance(2) {
        members.push(member(random, "max_tokens", max_tokens));
    }
    let members = random.shuffled(members);
    let blank = blanks(random);
    let mut body = format!(
        "{blank}{{{blank}{}{blank}}}",
        members.join(&format!("{blank},{blank}"))
    )
    .into_bytes();
    if random.chance(1) {
        body = random
            .pick(&[
                &b"[]"[..],
                b"",
                b"null",
                b"\"model\"",
                b"{}",
                b"{\"model\":\"claude-haiku-4-5\"}{}",
            ])
            .to_vec();
    }
    if random.chance(4) {
        spoil(random, &mut body);
    }
    body
}

/// Changes a byte or several.
fn spoil(random: &mut Random, body: &mut Vec<u8>) {
    if body.is_empty() {
        return;
    }
    let at = random.below(body.len());
    match random.below(8) {
        0 => drop(body.remove(at)),
        1 => body.truncate(at),
        2 => body[at] = random.below(256) as u8,
        3 => body.insert(at, *random.pick(b"\"{}[],:\\0-9\xff\xc3\x80\xed\0\x1f ")),
        4 => put(
            body,
            at,
            random.pick::<&[u8]>(&[
                b"\xed\xa0\x80",
                b"\xc0\xaf",
                b"\xf4\x90\x80\x80",
                b"\xef\xbb\xbf",
                b"\xe2\x82\xac",
            ]),
        ),
        5 => body.extend(*random.pick::<&[u8]>(&[b"x", b" ", b"\n", b"\0", b"{}", b"//"])),
        6 => put(
            body,
            0,
            random.pick::<&[u8]>(&[b"\xef\xbb\xbf", b" ", b"\0", b"//x\n"]),
        ),
        _ => body[at] ^= 1 << random.below(8),
    }
}

fn put(body: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(body.splice(at..at, bytes.iter().copied()));
}

fn blanks(random: &mut Random) -> &'static str {
    random.pick::<&str>(&["", "", "", " ", "\n", "\t ", "\r\n  "])
}

/// A member, its name perhaps written with escapes.
fn member(random: &mut Random, name: &str, value: impl FnOnce(&mut Random) -> String) -> String {
    let blank = blanks(random);
    let value = value(random);
    format!("{}{blank}:{blank}{value}", text(random, name, 6))
}

/// A text between quotes, so many of a hundred with escapes.
fn text(random: &mut Random, plain: &str, percent: usize) -> String {
    let escapes = random.chance(percent);
    let mut written = String::from("\"");
    for character in plain.chars() {
        let must = character < ' ' || character == '"' || character == '\\';
        if must || (escapes && random.chance(40)) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let digits = if random.chance(50) {
                    format!("\\u{unit:04x}")
                } else {
                    format!("\\u{unit:04X}")
                };
                written += &digits;
            }
        } else {
            written.push(character);
        }
    }
    written + "\""
}

fn model(random: &mut Random) -> String {
    let name = *random.pick(&MODELS);
    match random.below(80) {
        0 => text(random, &format!("{name} "), 0),
        1 => text(random, &name.to_uppercase(), 0),
        2 => text(random, "claude-hai\u{212a}u-4-5", 0),
        3 => text(random, "", 0),
        4 => format!("\"{}\"", "m".repeat(255 + random.below(3))),
        5 => text(random, "a\nb", 0),
        6 => random
            .pick(&["null", "1", "[\"claude-haiku-4-5\"]", "{}", "true"])
            .to_string(),
        7 => random
            .pick(&[
                r#""\ud800""#,
                r#""\udc00x""#,
                r#""\ud83d\ude00""#,
                r#""\u0000""#,
                r#""\u0085""#,
                r#""claude\/x""#,
            ])
            .to_string(),
        _ => text(random, name, 15),
    }
}

fn max_tokens(random: &mut Random) -> String {
    match random.below(30) {
        0..=13 => random.below(2000).to_string(),
        14..=20 => random
            .pick(&[
                "1", "16", "17", "512", "513", "1024", "4096", "8192", "8193",
            ])
            .to_string(),
        21..=24 => random
            .pick(&[
                "1000000",
                "1000001",
                "4294967296",
                "9007199254740993",
                "18446744073709551615",
                "18446744073709551616",
                "340282366920938463463374607431768211456",
            ])
            .to_string(),
        25 => random
            .pick(&[
                "0", "-0", "-1", "1.0", "1e3", "1E2", "512.5", "1e400", "0.9",
            ])
            .to_string(),
        26 => random
            .pick(&[
                "null", "\"512\"", "true", "[]", "{}", "[512]", "01", "+1", "0x10", "1_000", "NaN",
            ])
            .to_string(),
        _ => "9".repeat(1 + random.below(60)),
    }
}

/// Content, with what must not matter in it.
fn messages(random: &mut Random) -> String {
    match random.below(8) {
        0 => "[]".to_owned(),
        1 => format!(
            r#"[{{"role":"user","content":[{{"type":"text","text":{}}}]}}]"#,
            text(random, "héllo \"}\\ 😀\u{1f}", 50)
        ),
        2 => format!(
            r#"[{{"role":"user","model":{},"max_tokens":{},"content":"x"}}]"#,
            model(random),
            random.pick(&["0", "-1", "999999", "null"])
        ),
        3 => r#"{"model": "claude-opus-5", "model": 1, "fallbacks": "default"}"#.to_owned(),
        _ => r#"[{"role":"user","content":"hi"}]"#.to_owned(),
    }
}

fn system(random: &mut Random) -> String {
    let value = random.pick(&[
        "\"be kind\"",
        r#"[{"type":"text","text":"x","model":5}]"#,
        r#"{"max_tokens":{}}"#,
    ]);
    member(random, "system", |_| value.to_string())
}

fn metadata(random: &mut Random) -> String {
    let value = random.pick(&[r#"{"user_id":"u"}"#, r#"{"model":[],"max_tokens":"x"}"#]);
    member(random, "metadata", |_| value.to_string())
}

fn tools(random: &mut Random) -> String {
    let tool = |random: &mut Random| {
        match random.below(8) {
        0 => format!(r#"{{"type":"advisor_20260301","name":"advisor","model":{},"max_tokens":{}}}"#, model(random), max_tokens(random)),
        1 => format!(r#"{{"type":"advisor_20260301","model":{}}}"#, model(random)),
        2 => format!(r#"{{"model":{},"type":{}}}"#, model(random), text(random, "advisor_20270101", 60)),
        3 => r#"{"name":"get","input_schema":{"type":"object","properties":{"model":{"type":"string"},"max_tokens":{}}}}"#.to_owned(),
        4 => format!(r#"{{"name":"x","type":{},"model":"claude-haiku-4-5"}}"#, long(random)),
        5 => r#"["x",{"model":"claude-haiku-4-5"}]"#.to_owned(),
        6 => r#"{"type":"custom","name":"y","type":"advisor_2"}"#.to_owned(),
        _ => r#"{"type":"web_search_20250305","name":"web_search","max_uses":5}"#.to_owned(),
    }
    };
    let all: Vec<String> = (0..1 + random.below(3)).map(|_| tool(random)).collect();
    let value = if random.chance(95) {
        format!("[{}]", all.join(","))
    } else {
        all[0].clone()
    };
    member(random, "tools", |_| value)
}

fn fallbacks(random: &mut Random) -> String {
    let entry = |random: &mut Random| match random.below(6) {
        0 => format!(
            r#"{{"model":{},"max_tokens":{}}}"#,
            model(random),
            max_tokens(random)
        ),
        1 => "\"claude-opus-5\"".to_owned(),
        2 => r#"{"model":"claude-haiku-4-5","x":{"model":"claude-haiku-5-5"}}"#.to_owned(),
        3 => format!(r#"{{"max_tokens":{}}}"#, max_tokens(random)),
        _ => format!(r#"{{"model":{}}}"#, model(random)),
    };
    let all: Vec<String> = (0..random.below(4)).map(|_| entry(random)).collect();
    let value = match random.below(12) {
        0 => "\"default\"".to_owned(),
        1 => "null".to_owned(),
        2 => "{\"model\":\"claude-haiku-4-5\"}".to_owned(),
        3 => random.pick(&["true", "1", "nullx"]).to_string(),
        _ => format!("[{}]", all.join(" , ")),
    };
    member(random, "fallbacks", |_| value)
}

fn plain(random: &mut Random) -> String {
    let (name, value) = random.pick(&[
        ("temperature", "1.0"),
        ("top_k", "5"),
        ("stop_sequences", r#"["\u000a", "\ud83d\ude00"]"#),
        ("thinking", r#"{"type":"enabled","budget_tokens":100000}"#),
        ("modeL", "\"claude-opus-5\""),
        ("Max_tokens", "100000"),
        ("max_tokens ", "100000"),
        ("x", "123456789012345678901234567890.5e-3"),
        ("", "[[],{},[{}]]"),
    ]);
    member(random, name, |_| value.to_string())
}

/// Asks for something in a place that nobody has named yet.
fn elsewhere(random: &mut Random) -> String {
    let inner = match random.below(5) {
        0 => format!(r#"{{"model":{}}}"#, model(random)),
        1 => format!(r#"[[{{"max_tokens":{}}}]]"#, max_tokens(random)),
        2 => format!(
            r#"{{"a":[{{"b":{{"model":{},"max_tokens":{}}}}}]}}"#,
            model(random),
            max_tokens(random)
        ),
        3 => r#"{"messages":{"model":"claude-haiku-4-5"},"input_schema":{"max_tokens":1}}"#
            .to_owned(),
        _ => format!("{}{}", "[".repeat(3), "]".repeat(3)),
    };
    let name = random.pick(&[
        "advisor",
        "mcp_servers",
        "input_schema",
        "x\"y",
        "zoë",
        "context_management",
    ]);
    let name = text(random, name, 10);
    format!("{name}:{inner}")
}

/// A type that ends within escapes, wherever it is cut.
fn long(random: &mut Random) -> String {
    let plain = random.pick(&["long", "😀", "advisor\u{1f600}"]);
    let plain = plain.repeat(4 + random.below(30));
    text(random, &plain, 60)
}
