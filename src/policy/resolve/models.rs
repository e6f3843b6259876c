//! What there is to say of the models a Workspace names, and of what its roles open.
//! Must not decide: a model that is unknown, retired or too small is allowed all the same.

use jiff::{SignedDuration, Timestamp};

use super::Resolver;
use crate::policy::catalogue::Model;
use crate::policy::finding::{Kind, Reason, listed};
use crate::policy::limits::MaxTokens;
use crate::policy::model::{ModelPattern, ModelSet};
use crate::policy::name::Name;
use crate::policy::role::{Access, Role};

/// Notice Anthropic gives before it stops serving a model, from its deprecation page.
const RETIREMENT_NOTICE: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Most models a message names.
const MOST_NAMED: usize = 3;

impl Resolver<'_> {
    /// Looks at every model entry the Workspace writes.
    pub(super) fn note_models(&mut self) {
        let workspace = self.facts.workspace;
        if let Some(models) = &workspace.models {
            self.note_entries("spec.models", models);
        }
        for (name, change) in &workspace.roles {
            if let Some(models) = &change.models {
                self.note_entries(&format!("spec.roles[{name}].models"), models);
            }
        }
    }

    /// Looks at every role that the Workspace writes or that somebody holds. Call it once all
    /// bindings are resolved.
    pub(super) fn note_roles(&mut self) {
        let written = &self.facts.workspace.roles;
        let in_play = self.roles.values().filter(|role| {
            written.contains_key(&role.name) || self.role_ids.contains_key(&role.name)
        });
        let in_play: Vec<Role> = in_play.cloned().collect();
        for role in in_play {
            if let Some(access) = &role.access {
                self.note_empty(&role.name, access);
                self.note_too_many_tokens(&role.name, access);
            }
        }
    }

    fn note_entries(&mut self, field: &str, models: &ModelSet) {
        let catalogue = self.facts.catalogue;
        for pattern in models.iter() {
            let mut known = catalogue
                .matching(pattern)
                .map(|(_, model)| model)
                .peekable();
            if known.peek().is_none() {
                let fix = match catalogue.nearest(pattern, self.facts.now) {
                    Some(meant) => format!("did you mean '{meant}'?"),
                    None => "check its spelling.".to_owned(),
                };
                let message =
                    format!("No known model is '{pattern}'. It is kept as written; {fix}");
                self.find_here(Reason::UnknownModel, field, &message);
            } else if let Some(end) = last_end(known) {
                self.note_retirement(field, pattern, end);
            }
        }
    }

    fn note_retirement(&mut self, field: &str, pattern: &ModelPattern, end: Timestamp) {
        let now = self.facts.now;
        let notice = end.checked_sub(RETIREMENT_NOTICE).unwrap_or(Timestamp::MIN);
        let what = match pattern {
            ModelPattern::Exact(id) => format!("'{id}'"),
            ModelPattern::Prefix(_) => format!("the last known model of '{pattern}'"),
        };
        if end <= now {
            let message =
                format!("Anthropic stopped serving {what} at {end}. Name a model that it serves.");
            self.find_here(Reason::RetiredModel, field, &message);
        } else if notice <= now {
            let message = format!("Anthropic stops serving {what} at {end}. Plan its successor.");
            self.find_here(Reason::RetiringModel, field, &message);
        }
        let to_come = [notice, end].into_iter().filter(|at| *at > now);
        self.boundaries.extend(to_come.min());
    }

    fn note_empty(&mut self, name: &Name, access: &Access) {
        let Some(bound) = &self.facts.workspace.models else {
            return;
        };
        let catalogue = self.facts.catalogue;
        let own = catalogue.with_aliases(&access.models);
        if own.overlaps(&catalogue.with_aliases(bound)) {
            return;
        }
        let message = format!(
            "Role '{name}' opens {}, and spec.models allows none of them, so it opens nothing. Widen \
             spec.models, or change the role's models.",
            listed(
                access
                    .models
                    .iter()
                    .map(|pattern| pattern.to_string().into())
            ),
        );
        self.find_here(
            Reason::EmptyRole,
            &format!("spec.roles[{name}].models"),
            &message,
        );
    }

    fn note_too_many_tokens(&mut self, name: &Name, access: &Access) {
        let catalogue = self.facts.catalogue;
        let own = catalogue.with_aliases(&access.models);
        let bound = self.facts.workspace.models.as_ref();
        let bound = bound.map(|models| catalogue.with_aliases(models));
        let opens = |id: &str| own.allows(id) && bound.as_ref().is_none_or(|set| set.allows(id));
        let smaller: Vec<(&Name, &Model, MaxTokens)> = catalogue
            .iter()
            .filter(|(id, model)| opens(id) && model.is_served(self.facts.now))
            // Of two ids of one model the shorter tells enough.
            .filter(|(id, model)| model.alias.as_ref().is_none_or(|alias| *id < alias))
            .filter_map(|(id, model)| Some((id, model, model.max_output_tokens?)))
            .filter(|(.., most)| *most < access.max_tokens)
            .collect();
        let ends = smaller.iter().filter_map(|(_, model, _)| model.retires_at);
        self.boundaries.extend(ends);
        let Some(names) = some_of(&smaller) else {
            return;
        };
        let message = format!(
            "Role '{name}' lets requests ask for {} tokens, more than these models put out at most: \
             {names}. Lower maxTokens, or give them a role of their own.",
            access.max_tokens,
        );
        let field = format!("spec.roles[{name}].maxTokens");
        self.find_here(Reason::MaxTokensAboveModel, &field, &message);
    }

    fn find_here(&mut self, reason: Reason, field: &str, message: &str) {
        self.find(reason, (Kind::Workspace, self.facts.name), field, message);
    }
}

/// When the last of some models retires, if all of them do.
fn last_end<'a>(mut models: impl Iterator<Item = &'a Model>) -> Option<Timestamp> {
    models.try_fold(Timestamp::MIN, |last, model| {
        Some(last.max(model.retires_at?))
    })
}

/// The first few models with their limits, and how many more there are.
fn some_of(models: &[(&Name, &Model, MaxTokens)]) -> Option<String> {
    let named = models.iter().take(MOST_NAMED);
    let named: Vec<String> = named
        .map(|(id, _, most)| format!("{id} ({most})"))
        .collect();
    let more = models.len().checked_sub(MOST_NAMED).filter(|n| *n > 0);
    let more = more.map(|n| format!(" and {n} more")).unwrap_or_default();
    (!named.is_empty()).then(|| named.join(", ") + &more)
}
