//! Waiting beside something that wakes the task often.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// A future that is polled only when it has asked for it, however often its task wakes for other reasons.
///
/// What a run waits for beside its calls hangs on locks that all runs share; a piece of a reply must not touch them.
pub(super) struct Quiet<F> {
    future: F,
    asked: Arc<Asked>,
    waker: Waker,
}

struct Asked {
    set: AtomicBool,
    task: AtomicWaker,
}

impl<F: Future + Unpin> Quiet<F> {
    pub(super) fn new(future: F) -> Quiet<F> {
        let asked = Arc::new(Asked { set: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(asked.clone());
        Quiet { future, asked, waker }
    }
}

impl<F: Future + Unpin> Future for Quiet<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.asked.task.register(cx.waker());
        match this.asked.set.swap(false, Ordering::AcqRel) {
            true => Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker)),
            false => Poll::Pending,
        }
    }
}

impl Wake for Asked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use futures_util::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_asks_and_not_when_its_task_wakes() {
        let (polls, notify) = (AtomicBool::new(false), Notify::new());
        let mut notified = pin!(notify.notified());
        let watched = poll_fn(|cx| {
            polls.store(true, Ordering::Relaxed);
            notified.as_mut().poll(cx)
        });
        let mut quiet = Quiet::new(watched);
        let polled = || polls.swap(false, Ordering::Relaxed);

        assert!((&mut quiet).now_or_never().is_none());
        assert!(polled(), "the first time");
        assert!((&mut quiet).now_or_never().is_none());
        assert!(!polled(), "nothing has happened to it");
        notify.notify_one();
        quiet.await;
        assert!(polled());
    }
}
