//! Permits to run a machine. They limit how many machines run at the same time on this computer, over all test programs.
//! A world that has a machine already must not wait for another permit, so the machines of one thread share one.

use std::cell::RefCell;
use std::fs::File;
use std::rc::{Rc, Weak};
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

/// The highest number of permits, whatever the number of processors. Each machine uses about 9 inotify instances of root, and the
/// kernel's default limit for a user is 128. Beyond that limit systemd does not start.
const MOST: usize = 8;

/// A permit. It is returned when its last copy is dropped, or when the process ends.
pub(crate) type Permit = Rc<Flock<File>>;

thread_local! {
    static HELD: RefCell<Weak<Flock<File>>> = const { RefCell::new(Weak::new()) };
}

/// Waits for a permit. There are three for each processor: a booting machine keeps a processor busy, but later the machine is mostly
/// idle.
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
    available_parallelism().map_or(1, |processors| (3 * processors.get()).min(MOST))
}

fn wait() -> Flock<File> {
    let permits = permits();
    loop {
        for number in 0..permits {
            // Worlds do not hide /dev/shm, so all test programs see these files.
            let path = format!("/dev/shm/scw-agent-machine-{number}.lock");
            let file = File::options().write(true).create(true).truncate(false).open(path);
            let file = file.expect("/dev/shm is writable");
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
            assert!(Rc::ptr_eq(&first, &second), "a thread has one permit");
            drop(first);
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(50));
            running.fetch_sub(1, Ordering::SeqCst);
            drop(second);
            HELD.with_borrow(|held| assert!(held.upgrade().is_none(), "the permit is returned"));
        };
        thread::scope(|scope| {
            for _ in 0..permits * 3 {
                scope.spawn(run);
            }
        });
        assert!((1..=permits).contains(&most.load(Ordering::SeqCst)), "{most:?} of {permits}");
    }
}
