//! The organisation guide's own decisions, word for word in Rust: what it says of a role, a model
//! and `max_tokens`. Must not know anything of ours.

/// `ROLE_CONFIG` of the guide: allowed, models, `max_tokens`, requests per minute.
pub(crate) struct RoleConfig {
    pub(crate) allowed: bool,
    pub(crate) models: &'static [&'static str],
    pub(crate) max_tokens: u64,
    pub(crate) rpm_limit: u64,
}

pub(crate) const HAIKU: &str = "claude-haiku-4-20250514";
pub(crate) const SONNET: &str = "claude-sonnet-4-20250514";
pub(crate) const OPUS: &str = "claude-opus-4-20250514";

pub(crate) fn role_config(role: &str) -> RoleConfig {
    let all: &[&str] = &[HAIKU, SONNET, OPUS];
    let (allowed, models, max_tokens, rpm_limit): (_, &[&str], _, _) = match role {
        "viewer" => (false, &[], 0, 0),
        "user" => (true, &[HAIKU], 512, 10),
        "power" => (true, all, 4096, 60),
        "admin" => (true, all, 8192, 200),
        other => panic!("the guide has no role {other}"),
    };
    RoleConfig {
        allowed,
        models,
        max_tokens,
        rpm_limit,
    }
}

/// The guide's `create_message`, up to the call it makes: what it sends, or what it raises.
pub(crate) fn create_message(
    role: &str,
    model: &str,
    max_tokens: Option<u64>,
) -> Result<u64, String> {
    let config = role_config(role);
    if !config.allowed {
        return Err("Role does not allow API access".to_owned());
    }
    if !config.models.contains(&model) {
        return Err(format!("Role cannot access model: {model}"));
    }
    Ok(max_tokens.unwrap_or(1024).min(config.max_tokens))
}
