//! Whether this machine is a Scaleway Instance (invariant P1).
//!
//! The metadata service is plain HTTP at a link-local address. Outside of a Scaleway Instance, any machine may answer there, and its
//! user data must not run as root. So [`check()`] reads what only the hypervisor and the boot loader set: the DMI system vendor and
//! the kernel command line. [`Client`](crate::metadata::transport::client::Client) requires the resulting [`PlatformProof`], so no
//! request can be sent without the check. The check is not a condition of a unit, because older versions of systemd ignore unknown
//! conditions.
//!
//! This module must not use the network.

use std::fmt;
use std::path::Path;

use crate::util::files;

/// The DMI system vendor of a Scaleway Instance. cloud-init uses the same name.
const SCALEWAY: &str = "Scaleway";
/// The token on the kernel command line that identifies an Instance without DMI.
const TOKEN: &str = "scaleway";
const DMI_VENDOR: &str = "/sys/class/dmi/id/sys_vendor";
const COMMAND_LINE: &str = "/proc/cmdline";
/// The kernel's limit for a command line is 4 KiB or less on every architecture of Instances.
const MAX_COMMAND_LINE_BYTES: u64 = 64 * 1024;
/// The limit for the DMI system vendor.
const MAX_VENDOR_BYTES: u64 = 4096;

/// `[platform] vendor`: which machines are accepted as a Scaleway Instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Any machine.
    Any,
    /// A machine with this DMI system vendor, or with the token `scaleway` on its kernel command line.
    Named(String),
}

impl Default for Vendor {
    fn default() -> Self {
        Self::Named(SCALEWAY.to_owned())
    }
}

/// Proof that the check passed. Only [`check()`] creates one.
#[derive(Clone, Debug)]
pub struct PlatformProof(());

/// The machine is not a Scaleway Instance. This is a normal state, not a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnInstance {
    expected_vendor: String,
    actual_vendor: Option<String>,
}

/// Checks this machine.
///
/// # Errors
/// [`NotAnInstance`] if neither the DMI system vendor nor the kernel command line identifies the platform. A file that cannot be
/// read is treated as missing.
pub fn check(vendor: &Vendor) -> Result<PlatformProof, NotAnInstance> {
    let read = |path: &str, limit| files::read_bounded(Path::new(path), limit).ok().flatten();
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    decide(vendor, text(read(DMI_VENDOR, MAX_VENDOR_BYTES)), || {
        text(read(COMMAND_LINE, MAX_COMMAND_LINE_BYTES))
    })
}

/// The decision. The command line is read only if the DMI vendor does not decide.
fn decide(
    vendor: &Vendor,
    dmi_vendor: Option<String>,
    command_line: impl FnOnce() -> Option<String>,
) -> Result<PlatformProof, NotAnInstance> {
    let Vendor::Named(expected) = vendor else { return Ok(PlatformProof(())) };
    let actual = dmi_vendor.map(|vendor| vendor.trim().to_owned());
    if actual.as_ref() == Some(expected) {
        return Ok(PlatformProof(()));
    }
    let has_token =
        command_line().is_some_and(|line| line.split_ascii_whitespace().any(|word| word == TOKEN));
    if has_token {
        return Ok(PlatformProof(()));
    }
    Err(NotAnInstance { expected_vendor: expected.clone(), actual_vendor: actual })
}

impl fmt::Display for NotAnInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = &self.expected_vendor;
        f.write_str("not a Scaleway Instance (")?;
        match &self.actual_vendor {
            // `{:?}` escapes characters that could control a terminal.
            Some(actual) => write!(f, "the DMI system vendor is {actual:?} and not {expected:?})"),
            None => write!(f, "there is no DMI system vendor; {expected:?} is expected)"),
        }
    }
}

impl std::error::Error for NotAnInstance {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_table_of_accepted_machines() {
        let named = |name: &str| Vendor::Named(name.to_owned());
        let scaleway = Vendor::default();
        for (vendor, dmi, command_line, trusted) in [
            (&scaleway, Some("Scaleway\n"), None, true),
            (&scaleway, Some("QEMU\n"), Some("root=/dev/vda1 quiet\n"), false),
            (&scaleway, Some("scaleway\n"), None, false),
            (&scaleway, Some("Scaleway Elements\n"), None, false),
            (&scaleway, Some(""), None, false),
            (&scaleway, None, None, false),
            (&scaleway, None, Some("root=/dev/vda1 scaleway\n"), true),
            (&scaleway, Some("QEMU\n"), Some("scaleway quiet"), true),
            (&scaleway, None, Some("hostname=scaleway scaleway=0 notscaleway Scaleway"), false),
            (&named("QEMU"), Some("QEMU\n"), None, true),
            (&named("QEMU"), Some("Scaleway\n"), None, false),
            (&Vendor::Any, Some("QEMU\n"), None, true),
            (&Vendor::Any, None, None, true),
        ] {
            let result = decide(vendor, dmi.map(str::to_owned), || command_line.map(str::to_owned));
            assert_eq!(result.is_ok(), trusted, "{vendor:?} {dmi:?} {command_line:?}");
        }
    }

    #[test]
    fn p1_refusal_shows_the_vendor_on_one_line() {
        let result = decide(&Vendor::default(), Some("Evil\x1b[2J\nCorp".to_owned()), || None);
        let message = result.expect_err("not an Instance").to_string();
        assert_eq!(
            message,
            "not a Scaleway Instance (the DMI system vendor is \"Evil\\u{1b}[2J\\nCorp\" and not \"Scaleway\")"
        );
        let message = decide(&Vendor::default(), None, || None).expect_err("not an Instance").to_string();
        assert_eq!(
            message,
            "not a Scaleway Instance (there is no DMI system vendor; \"Scaleway\" is expected)"
        );
    }
}
