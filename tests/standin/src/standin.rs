//! The handle of a stand-in, with methods that start, inspect, change and stop it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::control;
use crate::faults::{Book, Order, OrderError, check_all};
use crate::options::{Options, PublicApi};
use crate::platform::Platform;
use crate::server::{Connection, Listening, Request, Shared, Tls, accept_loop, bind};
use crate::switchboard::Switchboard;

/// A running stand-in. Dropping it stops the server and closes all its sockets.
#[derive(Debug)]
pub struct Standin {
    switchboard: Arc<Switchboard>,
    control: Option<PathBuf>,
    /// Dropped to stop the server.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Standin {
    /// Starts a stand-in, and returns when it listens. The sockets are made in the calling thread and so in its network namespace. A
    /// separate thread serves them.
    pub fn start(options: Options) -> Result<Standin, StartError> {
        check_all(&options.orders).map_err(StartError::Orders)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let control = options.control.clone();
        let switchboard = match set_up(&runtime, options) {
            Ok(switchboard) => switchboard,
            Err(error) => {
                // Dropping the runtime would panic if the caller is itself in an asynchronous context.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || drop(runtime.block_on(stopped));
        let thread = std::thread::Builder::new().name("standin".to_owned()).spawn(serve);
        let thread = Some(thread.map_err(StartError::Thread)?);
        Ok(Standin { switchboard, control, stop: Some(stop), thread })
    }

    /// The addresses on which it listens, in the order of the options; the last is that of the public API. Port 0 is replaced by the real port.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.switchboard.listeners.iter().map(|(address, _)| *address).collect()
    }

    /// The requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.switchboard.shared.requests()
    }

    /// Clears the recorded requests. Connections and the counters of orders are kept.
    pub fn clear_requests(&self) {
        self.switchboard.shared.clear_requests();
    }

    /// The connections so far, in order of arrival.
    pub fn connections(&self) -> Vec<Connection> {
        self.switchboard.shared.connections()
    }

    /// The value of a user data key, if it is set.
    pub fn user_data(&self, key: &str) -> Option<Vec<u8>> {
        self.switchboard.shared.platform(|platform| platform.user_data.get(key.as_bytes()).cloned())
    }

    /// Sets a user data key, like the owner of the Instance.
    pub fn set_user_data(&self, key: &str, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.as_bytes().to_vec(), value.into());
        self.switchboard.shared.platform(|platform| platform.user_data.insert(key, value));
    }

    /// Deletes a user data key, like the owner of the Instance.
    pub fn delete_user_data(&self, key: &str) {
        self.switchboard.shared.platform(|platform| platform.user_data.remove(key.as_bytes()));
    }

    /// Replaces the document of `/conf`.
    pub fn set_conf(&self, conf: Value) {
        self.switchboard.shared.platform(|platform| platform.set_conf(conf));
    }

    /// The document of `/conf`.
    pub fn conf(&self) -> Value {
        self.switchboard.shared.platform(|platform| platform.conf.clone())
    }

    /// Replaces the orders, and returns when they are in force. All counters start again.
    ///
    /// Panics if the orders contradict themselves, and if a listener that `refuse` closed cannot be opened again, since the test would be
    /// meaningless.
    pub fn set_orders(&self, orders: Vec<Order>) {
        check_all(&orders).expect("orders without contradictions");
        self.switchboard.put_in_force_and_wait(orders).expect("listening again");
    }

    /// Waits until `f` is true for the requests so far, at most for `timeout`; returns the last result of `f`. `f` runs at each new
    /// request and each answer. It must not use the handle.
    pub fn wait_for(&self, timeout: Duration, f: impl Fn(&[Request]) -> bool) -> bool {
        self.switchboard.shared.wait_for(timeout, f)
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread was already printed, and this drop may itself be part of a panic.
            drop(thread.join());
        }
        if let Some(path) = &self.control {
            // Another process may already have removed the socket.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Makes all sockets, and the tasks that serve them as soon as the runtime runs.
fn set_up(runtime: &Runtime, options: Options) -> Result<Arc<Switchboard>, StartError> {
    let record = options.record.map(open_record).transpose()?;
    let Options { conf, user_data, vendor_data, public_api, .. } = options;
    let mut platform = Platform { conf, user_data, vendor_data, ..Platform::default() };
    let mut addresses: Vec<_> = options.listen.into_iter().map(|address| (address, None)).collect();
    if let Some(PublicApi { listen, authority, tokens }) = public_api {
        let (tls, pem) = Tls::new(&[listen.ip()]).map_err(StartError::Tls)?;
        if let Some(path) = authority {
            std::fs::write(&path, pem).map_err(|source| StartError::Record { path, source })?;
        }
        platform.account.tokens.extend(tokens);
        addresses.push((listen, Some(tls)));
    }
    let book = Book::new(options.orders);
    let shared = Arc::new(Shared::new(platform, book, record, options.dialect, options.keep_alive));
    let mut listeners = Vec::new();
    for (address, tls) in addresses {
        let listening = listen(runtime, address, tls, &shared);
        let listening = listening.map_err(|source| StartError::Listen { address, source })?;
        let (sender, receiver) = mpsc::unbounded_channel();
        listeners.push((listening.address, sender));
        runtime.spawn(accept_loop(listening, receiver, Arc::clone(&shared)));
    }
    let switchboard = Arc::new(Switchboard { shared, listeners });
    if let Some(path) = options.control {
        let socket = control::bind(&path).map_err(|source| StartError::Control { path, source })?;
        runtime.spawn(control::serve(socket, Arc::clone(&switchboard)));
    }
    Ok(switchboard)
}

fn open_record(path: PathBuf) -> Result<File, StartError> {
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.map_err(|source| StartError::Record { path, source })
}

/// Listens on an address. If an order refuses connections from the start, this only checks that listening is possible.
fn listen(
    runtime: &Runtime,
    address: SocketAddr,
    tls: Option<Tls>,
    shared: &Shared,
) -> io::Result<Listening> {
    let socket = bind(address)?;
    let address = socket.local_addr()?;
    let _context = runtime.enter();
    let socket = tokio::net::TcpListener::from_std(socket)?;
    Ok(Listening { address, socket: (!shared.refuses(address)).then_some(socket), tls })
}

/// The reason why a stand-in could not start.
#[derive(Debug)]
pub enum StartError {
    /// The stand-in cannot listen on an address.
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system call.
        source: io::Error,
    },
    /// The record file or the authority's file cannot be opened.
    Record {
        /// The file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The control socket cannot be made.
    Control {
        /// The socket's path.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// Orders that contradict themselves.
    Orders(OrderError),
    /// The certificate cannot be made.
    Tls(Box<dyn std::error::Error + Send + Sync>),
    /// The server's thread cannot be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            StartError::Record { path, source } => {
                write!(f, "cannot write {}: {source}", path.display())
            }
            StartError::Control { path, source } => {
                write!(f, "cannot make the control socket {}: {source}", path.display())
            }
            StartError::Orders(error) => write!(f, "{error}"),
            StartError::Tls(source) => write!(f, "cannot make a certificate: {source}"),
            StartError::Thread(source) => write!(f, "cannot start the server's thread: {source}"),
        }
    }
}

impl std::error::Error for StartError {}
