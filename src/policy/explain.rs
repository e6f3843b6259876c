//! What stable names mean and what to do about them: denials, and the troubles that people
//! bring along without a name. Findings and the reasons of conditions stand where they are made,
//! in the same form. Must not decide anything.

use super::decide::Denial;

/// What one stable name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The name, in CamelCase.
    pub name: &'static str,
    /// Where it is seen: condition types, an answer's status, or the words of whoever meets it.
    pub place: &'static str,
    /// What it means: a sentence.
    pub cause: &'static str,
    /// What to do: a sentence.
    pub fix: &'static str,
}

/// A refused request: what a gateway or `check` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The answer begins with this text; empty where the gateway words it itself.
    pub text: &'static str,
    /// Name, cause and fix.
    pub explanation: Explanation,
}

/// Defines reasons as constants, and `ALL` with what each of them means: there is no way to
/// define one without the other.
macro_rules! reasons {
    ($($name:ident = $value:expr, $place:expr, $cause:expr, $fix:expr;)*) => {
        $(
            #[doc = $cause]
            pub const $name: &str = $value;
        )*

        /// What each of them means.
        pub const ALL: &[$crate::policy::explain::Explanation] = &[
            $($crate::policy::explain::Explanation {
                name: $name,
                place: $place,
                cause: $cause,
                fix: $fix,
            }),*
        ];
    };
}
pub(crate) use reasons;

const fn refused(
    name: &'static str,
    text: &'static str,
    place: &'static str,
    cause: &'static str,
    fix: &'static str,
) -> Refused {
    Refused {
        text,
        explanation: Explanation {
            name,
            place,
            cause,
            fix,
        },
    }
}

/// Every way a request is refused, in the order in which they are looked at.
pub const REFUSED: [Refused; 14] = [
    refused(
        "Unauthenticated",
        "",
        "answer 401",
        "The request carries no credential, several that differ, or one that no issuer of the Workspace vouches for.",
        "Send one token with an audience the Workspace names, or a client key it knows, as x-api-key or Authorization: Bearer.",
    ),
    refused(
        "WorkspaceDisabled",
        "Workspace is disabled",
        "answer 403",
        "The Workspace says state: Disabled, which denies every request.",
        "Set spec.state of the Workspace to Enabled, or leave it out.",
    ),
    refused(
        "SubjectBlocked",
        "Subject is blocked",
        "answer 403",
        "The caller, or a group of it, is in spec.blockedSubjects of the Workspace, which beats every grant.",
        "If it was cleared, remove it from spec.blockedSubjects.",
    ),
    refused(
        "NoRole",
        "Subject has no role in this workspace",
        "answer 403",
        "No RoleBinding that is in force names the caller or a group of it.",
        "Run 'anthropic-rbac access SUBJECT' to see bindings that name it and grant nothing, or write a RoleBinding.",
    ),
    refused(
        "NoApiAccess",
        "Role does not allow API access",
        "answer 403",
        "All roles of the caller are without API access, as the built-in role viewer is.",
        "Bind a role with API access, such as user.",
    ),
    refused(
        "ModelOutsideWorkspace",
        "Workspace does not allow model: ",
        "answer 403",
        "The model is outside spec.models of the Workspace, which bounds every role.",
        "Ask for a model of that list, or have the Workspace's owner extend it.",
    ),
    refused(
        "ModelOutsideRoles",
        "Role cannot access model: ",
        "answer 403",
        "None of the caller's roles opens this model; ids are compared byte for byte.",
        "Ask for a model that a role opens, bind a role that opens it, or extend the role in spec.roles of the Workspace.",
    ),
    refused(
        "NoKey",
        "No API key is mapped for this subject",
        "answer 403",
        "The ApiKeyRef chosen for the caller has no usable version, or none is chosen: a revoked or suspended key is never replaced by another.",
        "Look at the ApiKeyRef that names the caller, or at spec.keys.defaultApiKeyRef of the Workspace, and put a key into its source.",
    ),
    refused(
        "TooManyRequests",
        "",
        "answer 429",
        "The caller, or all callers of the Workspace together, sent more requests in a minute than allowed.",
        "Wait as long as retry-after says, or raise the role's or the Workspace's requestsPerMinute.",
    ),
    refused(
        "InvalidBody",
        "Request body must be a JSON object",
        "answer 400",
        "The body is empty, not UTF-8, not JSON, nested more than 512 deep, or no object.",
        "Send the JSON object that the Messages API describes, as UTF-8 and uncompressed.",
    ),
    refused(
        "InvalidModel",
        "model must be a string",
        "answer 400",
        "A model of the request is left out, no text, empty, longer than 256 bytes, or has a control character.",
        "Send a model's id.",
    ),
    refused(
        "RepeatedField",
        "Request field is repeated: ",
        "answer 400",
        "The request names a model or max_tokens twice in one object, and readers differ in which of the two they take.",
        "Send it once.",
    ),
    refused(
        "InvalidMaxTokens",
        "max_tokens must be a positive integer",
        "answer 400",
        "A max_tokens of the request is zero, negative, or not written as a whole number without fraction, exponent or quotes.",
        "Send one positive whole number, or leave max_tokens out.",
    ),
    refused(
        "RequestFieldNotAllowed",
        "Request field not allowed: ",
        "answer 403",
        "The request holds a field that could reach a model or a number of tokens past the caller's role.",
        "Leave the field out, or name a model and a max_tokens in it that the role allows.",
    ),
];

/// What people run into, in the words of the organisation guide this project started from.
pub const TROUBLES: [Explanation; 3] = [
    Explanation {
        name: "WrongWorkspaceKey",
        place: "Key works in dev, fails in prod",
        cause: "The key belongs to another Anthropic workspace than the one it is used in, where it has no rights or other limits.",
        fix: "Verify in the Console that the key belongs to that workspace, put it into the source of the ApiKeyRef whose workspaceRef names it, and look for KeyInAnotherWorkspace in the status.",
    },
    Explanation {
        name: "MemberCannotAccess",
        place: "New team member can't access",
        cause: "The person was not added to the workspace: in the Console that is a membership, at the gateway a RoleBinding to an ApplicationRole.",
        fix: "Invite the person via Console > Members (a RoleBinding to a ConsoleRole records that), and run 'anthropic-rbac access user:ISSUER:NAME' to see what the gateway grants and what it does not.",
    },
    Explanation {
        name: "UsageNotVisible",
        place: "Usage not visible",
        cause: "The Console shows the usage of one workspace at a time, and the key is of another than the one that is looked at.",
        fix: "Switch the workspace in the Console; spec.workspaceId of the Workspace object is its id, and 'anthropic-rbac access SUBJECT' names the key that the requests go out with.",
    },
];

// === impl Denial ===

impl Denial {
    /// Its stable name, under which [`REFUSED`] explains it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WorkspaceDisabled => "WorkspaceDisabled",
            Self::SubjectBlocked => "SubjectBlocked",
            Self::NoRole => "NoRole",
            Self::NoApiAccess => "NoApiAccess",
            Self::ModelOutsideWorkspace(_) => "ModelOutsideWorkspace",
            Self::ModelOutsideRoles(_) => "ModelOutsideRoles",
            Self::NoKey => "NoKey",
            Self::InvalidMaxTokens => "InvalidMaxTokens",
            Self::InvalidBody => "InvalidBody",
            Self::InvalidModel => "InvalidModel",
            Self::RepeatedField(_) => "RepeatedField",
            Self::FieldNotAllowed(_) => "RequestFieldNotAllowed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_denial_is_explained_under_its_name_text_and_status() {
        let model = || "claude-x".to_owned();
        for denial in [
            Denial::WorkspaceDisabled,
            Denial::SubjectBlocked,
            Denial::NoRole,
            Denial::NoApiAccess,
            Denial::ModelOutsideWorkspace(model()),
            Denial::ModelOutsideRoles(model()),
            Denial::NoKey,
            Denial::InvalidMaxTokens,
            Denial::InvalidBody,
            Denial::InvalidModel,
            Denial::RepeatedField("model"),
            Denial::FieldNotAllowed("fallbacks".to_owned()),
        ] {
            let text = denial.to_string();
            let said =
                |refused: &&Refused| !refused.text.is_empty() && text.starts_with(refused.text);
            let found: Vec<_> = REFUSED.iter().filter(said).collect();
            let [found] = found.as_slice() else {
                panic!("'{text}' is explained {} times", found.len());
            };
            let place = format!("answer {}", denial.status());
            let Explanation {
                name, place: at, ..
            } = found.explanation;
            assert_eq!((name, at), (denial.name(), place.as_str()));
        }
    }

    #[test]
    fn what_is_explained_ends_in_a_full_stop() {
        let refused = REFUSED.iter().map(|refused| &refused.explanation);
        for explanation in refused.chain(&TROUBLES) {
            for text in [explanation.cause, explanation.fix] {
                assert!(text.ends_with('.'), "{}", explanation.name);
            }
        }
    }
}
