//! Everything that may be asked of a workspace in these worlds, and the answers of a policy.
//! Must not judge an answer.

use std::sync::LazyLock;

use anthropic_rbac::policy::decide::{Denial, Permit, Request, decide};
use anthropic_rbac::policy::digest::Digest;
use anthropic_rbac::policy::name::NamespacedName;
use anthropic_rbac::policy::subject::{Subject, SubjectId};
use anthropic_rbac::policy::table::Policy;
use jiff::Timestamp;

use crate::worlds::{ACCOUNTS, CLIENT_KEYS, GOOD_CLIENT_KEYS, GROUPS, MODELS, NAMESPACES, USERS};

/// A caller, as its credential shows it.
pub struct Caller {
    pub subject: Subject,
    pub id: SubjectId,
    pub groups: Vec<Subject>,
    pub group_ids: Vec<SubjectId>,
}

/// One question.
pub struct Question {
    pub caller: &'static Caller,
    pub model: &'static str,
    pub max_tokens: Option<u64>,
}

pub type Answer = Result<Permit, Denial>;

/// Every caller there is, members of groups and others.
pub static CALLERS: LazyLock<Vec<Caller>> = LazyLock::new(|| {
    let group = |name: &&str| Subject::Group {
        issuer: "corp".into(),
        name: (*name).into(),
    };
    let accounts = NAMESPACES.iter().flat_map(|namespace| {
        ACCOUNTS
            .iter()
            .map(|name| Subject::ServiceAccount(NamespacedName::new(*namespace, *name)))
    });
    let clients = CLIENT_KEYS[..GOOD_CLIENT_KEYS].iter();
    let clients = clients.map(|key| Subject::ClientKey(Digest::of(key.as_bytes())));
    let users = USERS.iter().map(|name| Subject::User {
        issuer: "corp".into(),
        name: (*name).into(),
    });
    let alone = accounts
        .chain(clients)
        .chain(users)
        .map(|subject| (subject, Vec::new()));
    let uma = Subject::User {
        issuer: "corp".into(),
        name: USERS[0].into(),
    };
    let members = [&GROUPS[..1], &GROUPS[1..], &GROUPS[..]];
    let members = members.map(|groups| (uma.clone(), groups.iter().map(group).collect::<Vec<_>>()));
    let all = alone.chain(members);
    all.map(|(subject, groups)| Caller {
        id: subject.id(),
        group_ids: groups.iter().map(Subject::id).collect(),
        subject,
        groups,
    })
    .collect()
});

/// Every question there is.
pub static QUESTIONS: LazyLock<Vec<Question>> = LazyLock::new(|| {
    let questions = CALLERS.iter().flat_map(|caller| {
        let each = MODELS.iter().enumerate();
        each.map(move |(i, model)| Question {
            caller,
            model,
            max_tokens: [None, Some(1 << 20), Some(100)][i % 3],
        })
    });
    questions.collect()
});

impl Question {
    /// What a policy says to it.
    pub fn put(&self, policy: &Policy, at: Timestamp) -> Answer {
        self.capped(policy, at, self.max_tokens)
    }

    /// The same for another `max_tokens`.
    pub fn capped(&self, policy: &Policy, at: Timestamp, max_tokens: Option<u64>) -> Answer {
        let request = Request {
            subject: self.caller.id,
            groups: &self.caller.group_ids,
            model: self.model,
            max_tokens,
            at,
        };
        decide(policy, &request)
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.caller.subject)?;
        self.caller
            .groups
            .iter()
            .try_for_each(|group| write!(f, " in {group}"))?;
        write!(
            f,
            " asking for {} with {:?} tokens",
            self.model, self.max_tokens
        )
    }
}

/// All answers of a policy, in the order of the questions.
pub fn answers(policy: &Policy, at: Timestamp) -> Vec<Answer> {
    QUESTIONS
        .iter()
        .map(|question| question.put(policy, at))
        .collect()
}

/// Where the second list gives more than the first: access that was denied, a higher limit,
/// or another key.
pub fn wider(narrow: &[Answer], wide: &[Answer]) -> Option<String> {
    let more = QUESTIONS
        .iter()
        .zip(narrow.iter().zip(wide))
        .find(|(_, pair)| match pair {
            (_, Err(_)) => false,
            (Err(_), Ok(_)) => true,
            (Ok(less), Ok(more)) => {
                more.max_tokens() > less.max_tokens()
                    || more.requests_per_minute() > less.requests_per_minute()
                    || more.api_key_ref() != less.api_key_ref()
            }
        });
    more.map(|(question, (less, more))| format!("{question}: {less:?}, then {more:?}"))
}
