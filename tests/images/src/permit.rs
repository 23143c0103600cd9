//! Permits to run a machine: a limit on how many run at a time on this computer, whichever test programs start them.
//! It must not hold up a world that has a machine already: the machines of one thread share a permit.

use std::cell::RefCell;
use std::fs::File;
use std::rc::{Rc, Weak};
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

/// At most so many, however many processors there are. Each machine has about 9 inotify instances of root's, and the kernel's default
/// limit for a user is 128: beyond it, systemd does not start.
const MOST: usize = 8;

/// A permit. It is given back when the last of its copies is dropped, or when the process ends.
pub(crate) type Permit = Rc<Flock<File>>;

thread_local! {
    static HELD: RefCell<Weak<Flock<File>>> = const { RefCell::new(Weak::new()) };
}

/// Waits for a permit. Twice as many are given as there are processors: a machine's boot keeps one busy, and then the machine waits most of
/// the time.
pub(crate) fn permit() -> Permit {
    HELD.with_borrow_mut(|held| {
        held.upgrade().unwrap_or_else(|| {
            let permit = Rc::new(wait());
            *held = Rc::downgrade(&permit);
            permit
        })
    })
}

fn permits() -> usize {
    available_parallelism().map_or(1, |processors| (2 * processors.get()).min(MOST))
}

fn wait() -> Flock<File> {
    let permits = permits();
    loop {
        for number in 0..permits {
            // In memory that worlds do not hide.
            let path = format!("/dev/shm/scw-agent-machine-{number}.lock");
            let file = File::options().write(true).create(true).truncate(false).open(path);
            let file = file.expect("the shared memory can be written to");
            if let Ok(permit) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                return permit;
            }
        }
        sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn machines_wait_for_permits_and_share_one_in_a_thread() {
        let permits = permits();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let run = || {
            let (first, second) = (permit(), permit());
            assert!(Rc::ptr_eq(&first, &second), "one permit for a thread");
            drop(first);
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(50));
            running.fetch_sub(1, Ordering::SeqCst);
            drop(second);
            HELD.with_borrow(|held| assert!(held.upgrade().is_none(), "it is given back"));
        };
        thread::scope(|scope| {
            for _ in 0..permits * 3 {
                scope.spawn(run);
            }
        });
        assert!((1..=permits).contains(&most.load(Ordering::SeqCst)), "{most:?} of {permits}");
    }
}
