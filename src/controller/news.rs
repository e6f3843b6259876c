//! What cycles tell the loop while they are at work.
//! Must not carry a key.

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::object::{ObjectKey, Version};
use super::read::Stored;
use crate::facts::Rivalry;
use crate::plan::world::{Change, Hurried};
use crate::policy::name::NamespacedName;

/// A request to an object is about to be sent, or was answered; a pod was hurried; or a
/// question.
#[derive(Debug)]
pub enum News {
    /// A request is about to be sent: what the watches tell of the object may be its echo.
    Begun(ObjectKey),
    /// It was answered; with nothing learned if it failed.
    Ended {
        key: ObjectKey,
        learned: Option<Box<Learned>>,
    },
    /// A pod was hurried. Its watch may have told of it already: of two pieces of news about a
    /// pod the later version counts.
    Hurried {
        by: NamespacedName,
        hurried: Hurried,
    },
    /// A cycle has read values, and wants to know who claims them too before it uses them.
    Asked {
        by: NamespacedName,
        answer: oneshot::Sender<Advice>,
    },
}

/// What a cycle is told before it uses values.
#[derive(Debug)]
pub struct Advice {
    /// Who claims them, too.
    pub rivalry: Rivalry,
    /// Whether others, who were not looked at yet, may.
    pub early: bool,
}

/// What an answer tells of an object.
#[derive(Debug)]
pub struct Learned {
    /// The workspace whose cycle it was.
    pub by: NamespacedName,
    /// The object's version.
    pub version: Version,
    /// What is known of it now.
    pub change: Change,
    /// There is more to it than what that cycle did itself: it must look again.
    pub surprise: bool,
}

/// Where a cycle tells its news.
#[derive(Clone, Debug)]
pub struct Teller {
    news: UnboundedSender<News>,
    by: NamespacedName,
}

// === impl Teller ===

impl Teller {
    /// Tells in the name of a workspace's cycle.
    pub fn new(news: UnboundedSender<News>, by: NamespacedName) -> Self {
        Self { news, by }
    }

    /// A request is about to be sent.
    pub fn begun(&self, key: &ObjectKey) {
        self.tell(News::Begun(key.clone()));
    }

    /// It was answered, and this is known of the object now.
    pub fn learned(&self, key: ObjectKey, stored: Stored, surprise: bool) {
        let Stored {
            version, change, ..
        } = stored;
        let learned = Some(Box::new(Learned {
            by: self.by.clone(),
            version,
            change,
            surprise,
        }));
        self.tell(News::Ended { key, learned });
    }

    /// It failed, or said nothing.
    pub fn ended(&self, key: ObjectKey) {
        self.tell(News::Ended { key, learned: None });
    }

    /// A pod was hurried.
    pub fn hurried(&self, hurried: Hurried) {
        let by = self.by.clone();
        self.tell(News::Hurried { by, hurried });
    }

    /// Who else claims what this workspace does, by all that was told so far; `None` once
    /// nobody listens any more.
    pub async fn advice(&self) -> Option<Advice> {
        let (answer, answered) = oneshot::channel();
        let by = self.by.clone();
        self.tell(News::Asked { by, answer });
        answered.await.ok()
    }

    fn tell(&self, news: News) {
        // Nobody listens any more at shutdown only.
        let _ = self.news.send(news);
    }
}
