//! The data behind both APIs. The Metadata API shows one Instance, the one that was powered on last; the public API shows all of them. This
//! module knows no requests.

mod account;
pub(crate) mod documents;

use serde_json::Value;

pub(crate) use account::{Account, PROJECT, Server, UserData, uuid};
pub use account::{OWNER_TOKEN, Rights};
use documents::{conf_of_server, server_of_conf};

/// The data.
#[derive(Debug, Default)]
pub(crate) struct Platform {
    /// The document of `/conf`.
    pub(crate) conf: Value,
    /// The user data of the Instance that `conf` is about.
    pub(crate) user_data: UserData,
    pub(crate) vendor_data: Option<Vec<u8>>,
    pub(crate) account: Account,
    /// The id of the Instance that was last added to the account, because the Metadata API shows it.
    pub(crate) added: Option<String>,
}

impl Platform {
    /// The id of the Instance that the Metadata API shows.
    fn shown(&self) -> Option<&str> {
        self.conf["id"].as_str()
    }

    /// Adds the Instance that the Metadata API shows to those of the account, once: the account's owner may delete it.
    pub(crate) fn add_shown(&mut self) {
        let Some(id) = self.shown().map(str::to_owned).filter(|id| self.added.as_ref() != Some(id)) else {
            return;
        };
        if self.account.server(&id).is_none() {
            let document = server_of_conf(&id, &self.conf);
            self.account.servers.push(Server { document, user_data: UserData::new() });
        }
        self.added = Some(id);
    }

    /// Replaces the document of `/conf`. If the account is in use, this shows another Instance, or changes the one that is shown.
    pub(crate) fn set_conf(&mut self, conf: Value) {
        if let (Some(_), Some(id)) = (&self.added, conf["id"].as_str()) {
            let document = server_of_conf(id, &conf);
            match self.account.server_mut(id) {
                Some(server) => server.document = document,
                None => self.account.servers.push(Server { document, user_data: UserData::new() }),
            }
            self.show(id);
        }
        self.conf = conf;
    }

    /// Copies what has changed in the account to `/conf`.
    pub(crate) fn refresh_conf(&mut self) {
        if let Some(server) = self.shown().and_then(|id| self.account.server(id)) {
            self.conf = conf_of_server(&server.document, &self.conf);
        }
    }

    /// The user data of an Instance of the account.
    pub(crate) fn user_data_of(&mut self, id: &str) -> Option<&mut UserData> {
        if self.shown() == Some(id) {
            return Some(&mut self.user_data);
        }
        self.account.server_mut(id).map(|server| &mut server.user_data)
    }

    /// Makes the Metadata API show this Instance. The one that it showed before keeps its user data.
    pub(crate) fn show(&mut self, id: &str) {
        if self.shown() == Some(id) {
            return;
        }
        let before = self.shown().map(str::to_owned);
        let Some(next) = self.account.server_mut(id) else { return };
        let user_data = std::mem::replace(&mut self.user_data, std::mem::take(&mut next.user_data));
        if let Some(server) = before.and_then(|id| self.account.server_mut(&id)) {
            server.user_data = user_data;
        }
        if let Some(server) = self.account.server(id) {
            self.conf = conf_of_server(&server.document, &self.conf);
            self.added = Some(id.to_owned());
        }
    }
}
