//! A gateway as a pod would run it: what was rendered, a real Envoy, and Anthropic's fake.
//! Must not know what is asked of it.

use anyhow::Result;
use serde_json::json;

use crate::anthropic::{Anthropic, Reach};
use crate::authority::{Authority, HOST};
use crate::envoy::{Envoy, until};
use crate::installed::installed;
use crate::mount::Order;
use crate::rendered::Rendered;

/// A gateway with a policy that changes.
pub(crate) struct Gateway {
    pub(crate) anthropic: Anthropic,
    pub(crate) envoy: Envoy,
    pub(crate) rendered: Rendered,
    _authority: Authority,
}

// === impl Gateway ===

impl Gateway {
    /// Starts one, and waits until it says that it has loaded its policy.
    pub(crate) fn start(rendered: Rendered) -> Result<Self> {
        let gateway = Self::unseen(rendered)?;
        gateway.loaded()?;
        Ok(gateway)
    }

    /// Starts one, whatever it makes of its policy.
    pub(crate) fn unseen(rendered: Rendered) -> Result<Self> {
        let authority = Authority::new(HOST)?;
        let anthropic = Anthropic::start(Some(&authority))?;
        let upstream = (&anthropic, Some(&authority));
        let envoy = &installed()?.envoy;
        let envoy = Envoy::start(envoy, &rendered.config, &rendered.data, upstream)?;
        Ok(Self {
            anthropic,
            envoy,
            rendered,
            _authority: authority,
        })
    }

    /// Gives it another policy, and waits until it says that it has loaded it.
    pub(crate) fn change(&mut self, rendered: Rendered, order: Order) -> Result<()> {
        if self.rendered.data != rendered.data {
            self.envoy.swap_and_wait(&rendered.data, order)?;
        }
        self.rendered = rendered;
        self.loaded()
    }

    fn loaded(&self) -> Result<()> {
        let reach = |key: &[u8]| {
            let key = String::from_utf8_lossy(key).trim_end().to_owned();
            (key, Reach::Workspace)
        };
        self.anthropic.set_keys(self.rendered.keys().map(reach));
        until("the policy is loaded", || {
            let said = self.envoy.loaded()?;
            let whole = said["error"].is_null() && said["subjects"]["differ"] == json!([]);
            let revision = json!(self.rendered.revision.to_string());
            Ok((whole && said["revision"] == revision).then_some(()))
        })
    }
}
