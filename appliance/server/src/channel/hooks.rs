//! Where code of the chain is called; the engine that runs it is behind the trait.

use futures_util::future::BoxFuture;
use serde_json::Value;
use storebox_proto::estate::channel::{ChannelService, ServiceType, Stage};
use storebox_proto::ids::TxKey;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::Entity;

use super::context::Context;

/// A point on the way of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub stage: Stage,
    /// In which service.
    pub service: ServiceType,
    /// What it is about, where the stage knows.
    pub entity: Option<Entity>,
}

/// Runs the hooks of a channel.
///
/// The definitions are those of the context: [`Context::hooks_at`] gives them in the order of their call.
/// Each hook that ran is told to [`Context::step`].
pub trait Hooks: Send + Sync {
    /// Runs what the channel has at this point and gives back what the object is then.
    ///
    /// An error refuses the call; it names the hook.
    fn run<'a>(
        &'a self,
        context: &'a Context,
        point: Point,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>>;

    /// Does what a service does, in place of the box.
    fn serve<'a>(
        &'a self,
        context: &'a Context,
        service: &'a ChannelService,
        request: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>>;

    /// Something is about to be committed: the hooks that follow are written down first, so that a crash between the
    /// commit and the hook loses none; they run if the transaction turns out to be held, and never fail the call.
    fn prepare<'a>(
        &'a self,
        context: &'a Context,
        point: Point,
        object: &'a Value,
        key: TxKey,
    ) -> BoxFuture<'a, ()>;

    /// The commit of this transaction is over, well or not: look what became of it.
    fn completed(&self, key: TxKey);
}

/// An engine for boxes without hooks: a definition that asks for one is refused, not passed over.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn run<'a>(
        &'a self,
        context: &'a Context,
        point: Point,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>> {
        let first = context.hooks_at(point).next().map(|hook| hook.id.clone());
        Box::pin(async move {
            match first {
                None => Ok(object),
                Some(hook) => Err(absent(&format!("hook {hook}"))),
            }
        })
    }

    fn serve<'a>(
        &'a self,
        _context: &'a Context,
        service: &'a ChannelService,
        _request: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>> {
        Box::pin(async { Err(absent(&format!("service {}", service.service.as_str()))) })
    }

    fn prepare<'a>(
        &'a self,
        context: &'a Context,
        point: Point,
        _object: &'a Value,
        _key: TxKey,
    ) -> BoxFuture<'a, ()> {
        for hook in context.hooks_at(point) {
            tracing::warn!(hook = %hook.id, "this box runs no hooks");
        }
        Box::pin(std::future::ready(()))
    }

    fn completed(&self, _key: TxKey) {}
}

fn absent(what: &str) -> Problem {
    Problem::new(Code::HookFailed, format!("{what} cannot be run: this box runs no hooks"))
}
