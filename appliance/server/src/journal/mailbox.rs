//! How everybody else asks the owner of a journal: a command with a place for its answer.

use storebox_proto::problem::{Code, Problem};
use tokio::sync::{mpsc, oneshot};

/// Asks and waits for the answer; an owner that is gone means that the box is stopping.
pub async fn ask<C, T>(
    owner: &mpsc::Sender<C>,
    command: impl FnOnce(oneshot::Sender<T>) -> C,
) -> Result<T, Problem> {
    let (answer, answered) = oneshot::channel();
    let stopping = || Problem::new(Code::Stopping, "the box is stopping; ask again soon");
    owner.send(command(answer)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
}

/// What an owner does for somebody who wants to know something of it.
pub type Look<O> = Box<dyn FnOnce(&O) + Send>;

/// Looks at the owner, in its own thread, and waits for what was seen; `command` is the owner's word for a look.
pub async fn look<C, O, T: Send + 'static>(
    owner: &mpsc::Sender<C>,
    command: impl FnOnce(Look<O>) -> C,
    look: impl FnOnce(&O) -> T + Send + 'static,
) -> Result<T, Problem> {
    ask(owner, |answer| {
        command(Box::new(move |owner| {
            let _ = answer.send(look(owner));
        }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_owner_that_answers_is_heard_and_one_that_is_gone_is_told() {
        let (sender, mut owner) = mpsc::channel::<oneshot::Sender<u32>>(1);
        let asked = ask(&sender, |answer| answer);
        let answer = async { owner.recv().await.unwrap().send(7).unwrap() };
        assert_eq!(tokio::join!(asked, answer).0.unwrap(), 7);
        drop(owner);
        assert_eq!(ask(&sender, |answer| answer).await.unwrap_err().code, Code::Stopping);
    }
}
