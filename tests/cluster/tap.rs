//! Between the operator and the API server: passes everything on, and remembers what was asked
//! and how. The audit log does not tell in which form an answer was wanted.
//! Must not change a request or an answer.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use kube::Client;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    cluster::{self, Cluster},
    operator,
};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Without its query.
    pub(crate) path: String,
    /// The form in which the answer is wanted.
    pub(crate) accept: String,
}

/// A place to listen in on the operator.
pub(crate) struct Tap {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
}

// === impl Tap ===

impl Tap {
    /// Listens, and passes on as the operator.
    pub(crate) async fn start(cluster: &Cluster) -> Result<Self> {
        let shared = Shared {
            client: cluster::client(&operator::kubeconfig(cluster)?).await?,
            asked: Arc::default(),
        };
        let asked = Arc::clone(&shared.asked);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(pass_on).with_state(shared);
        let server = tokio::spawn(async move {
            // An error would be the end of the test's operator, which says more.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            asked,
            server,
        })
    }

    /// What was asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self, cluster: &Cluster) -> Result<PathBuf> {
        let path = cluster.dir().join(format!("tap-{}", self.address.port()));
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tap", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "tap", "context": {"cluster": "tap", "user": ""}}],
            "current-context": "tap",
        });
        fs::write(&path, kubeconfig.to_string())?;
        Ok(path)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(State(shared): State<Shared>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let accept = head.headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        accept: accept.unwrap_or_default().to_owned(),
    };
    let all = shared.asked.lock();
    all.unwrap_or_else(PoisonError::into_inner).push(asked);
    // Of this connection; the other one has its own.
    head.headers.remove(header::HOST);
    let passed = async {
        let body = to_bytes(body, usize::MAX).await.ok()?;
        let request = http::Request::from_parts(head, kube::client::Body::from(body));
        shared.client.send(request).await.ok()
    };
    match passed.await {
        Some(answer) => answer.map(Body::new),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}
