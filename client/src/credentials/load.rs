//! The credentials of this run: each from the environment, otherwise from the configuration file.
//!
//! A variable that is set but empty counts as set. The secret key has no `Debug` and no `Display`.

use std::env;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::config_file::{ConfigError, Profile, active_profile};
use super::paths;
use crate::util::files;

/// The API, if the configuration has no other.
const API_URL: &str = "https://api.scaleway.com";

/// The secret key.
#[derive(Clone)]
pub(crate) struct SecretKey(String);

impl SecretKey {
    /// The value of the header.
    pub(crate) fn header(&self) -> &str {
        &self.0
    }
}

/// What a run needs to call the API.
pub(crate) struct Credentials {
    pub(crate) secret_key: SecretKey,
    /// Without a slash at its end.
    pub(crate) api_url: String,
    pub(crate) default_zone: Option<String>,
    /// Whose they are, for the local list: a digest of the secret key.
    pub(crate) account: String,
    /// Where the secret key comes from, for people.
    pub(crate) source: String,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error(
        "no credentials: set SCW_SECRET_KEY, or run `scw init`; sudo and systemd units remove SCW_* variables"
    )]
    None,
    #[error("the secret key of {place} is not valid: it must be a UUID")]
    NotValid { place: String },
    #[error("api_url must begin with https://, end without a slash, and have no user name")]
    Url,
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: ConfigError },
}

/// Reads them.
pub(crate) fn credentials() -> Result<Credentials, CredentialsError> {
    let wanted = env::var("SCW_PROFILE").ok();
    let path = paths::config_file();
    let (file, path) = match path {
        None => (Profile::default(), PathBuf::new()),
        Some(path) => {
            let read = files::read(&path);
            let content = read.map_err(|error| CredentialsError::Read { path: path.clone(), error })?;
            let text = String::from_utf8_lossy(content.as_deref().unwrap_or_default()).into_owned();
            // Without a file, `SCW_PROFILE` names nothing, and the SDK does not look at it.
            let wanted = content.is_some().then_some(wanted.as_deref()).flatten();
            let profile = active_profile(&text, wanted);
            (profile.map_err(|error| CredentialsError::File { path: path.clone(), error })?, path)
        }
    };
    combine(environment(), file, &path.display().to_string())
}

/// The first of these variables that is set.
fn variable(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| Some((*name, env::var_os(name)?.to_string_lossy().into_owned())))
}

/// The settings in the environment, and the variable of the secret key.
fn environment() -> (Profile, Option<&'static str>) {
    let secret_key = variable(&["SCW_SECRET_KEY", "SCW_TOKEN", "SCALEWAY_TOKEN", "SCALEWAY_ACCESS_KEY"]);
    let value = |names: &[&'static str]| variable(names).map(|(_, value)| value);
    let profile = Profile {
        secret_key: secret_key.as_ref().map(|(_, value)| value.clone()),
        api_url: value(&["SCW_API_URL"]),
        default_zone: value(&["SCW_DEFAULT_ZONE"]),
    };
    (profile, secret_key.map(|(name, _)| name))
}

fn combine(
    (environment, variable): (Profile, Option<&'static str>),
    file: Profile,
    path: &str,
) -> Result<Credentials, CredentialsError> {
    let source = variable.map_or_else(|| path.to_owned(), str::to_owned);
    let profile = environment.over(file);
    let secret_key = profile.secret_key.ok_or(CredentialsError::None)?;
    if !is_uuid(&secret_key) {
        return Err(CredentialsError::NotValid { place: source });
    }
    let api_url = profile.api_url.unwrap_or_else(|| API_URL.to_owned());
    if !api_url.starts_with("https://") || api_url.ends_with('/') || api_url.contains('@') {
        return Err(CredentialsError::Url);
    }
    let account = account(&secret_key);
    let secret_key = SecretKey(secret_key);
    Ok(Credentials { secret_key, api_url, default_zone: profile.default_zone, account, source })
}

/// What distinguishes accounts. The secret key, which is random, cannot be found from it.
fn account(secret_key: &str) -> String {
    let digest = Sha256::digest(format!("scw-known-hosts account {secret_key}"));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the text is a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    let is_at = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00000000-0000-4000-8000-000000000001";
    const OTHER: &str = "00000000-0000-4000-8000-000000000002";

    fn with_secret(key: &str) -> Profile {
        Profile { secret_key: Some(key.to_owned()), ..Profile::default() }
    }

    fn combined(environment: Profile, file: Profile) -> Result<Credentials, CredentialsError> {
        let variable = environment.secret_key.is_some().then_some("SCW_SECRET_KEY");
        combine((environment, variable), file, "/config.yaml")
    }

    #[test]
    fn environment_wins_setting_by_setting() {
        let file = Profile { default_zone: Some("nl-ams-1".to_owned()), ..with_secret(OTHER) };
        let found = combined(with_secret(KEY), file).expect("credentials");
        assert_eq!(found.secret_key.header(), KEY);
        assert_eq!(found.default_zone.as_deref(), Some("nl-ams-1"));
        assert_eq!((found.api_url.as_str(), found.source.as_str()), (API_URL, "SCW_SECRET_KEY"));
    }

    #[test]
    fn empty_variable_counts_as_set() {
        let error = combined(with_secret(""), with_secret(KEY)).err().expect("an error");
        assert!(matches!(error, CredentialsError::NotValid { .. }), "{error}");
    }

    #[test]
    fn unusable_settings_are_errors_without_a_value() {
        let url = |url: &str| Profile { api_url: Some(url.to_owned()), ..with_secret(KEY) };
        for (profile, text) in [
            (Profile::default(), "no credentials"),
            (with_secret("hunter2"), "/config.yaml is not valid"),
            (url("http://api.scaleway.com"), "https://"),
            (url("https://api.scaleway.com/"), "https://"),
            (url("https://me:hunter2@api.scaleway.com"), "https://"),
        ] {
            let error = combined(Profile::default(), profile).err().expect(text).to_string();
            assert!(error.contains(text) && !error.contains("hunter2"), "{error}");
        }
    }
}
