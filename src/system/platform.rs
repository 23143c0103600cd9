//! Whether this machine is a Scaleway Instance (invariant P1).
//!
//! The metadata service is plain HTTP at a link-local address. Outside of a Scaleway Instance, whoever answers there is a stranger
//! whose user data must not run as root. So [`check()`] looks at what only the hypervisor and the boot loader set: the DMI system
//! vendor and the kernel command line. [`Client`](crate::metadata::transport::client::Client) takes the resulting [`PlatformProof`], so no request can
//! be sent without the check. The check is made here and not by a unit's condition: older systemd ignores conditions it does not know.
//!
//! This module must not ask the network.

use std::fmt;
use std::path::Path;

use crate::util::files;

/// The DMI system vendor of a Scaleway Instance. cloud-init recognizes one by the same name.
const SCALEWAY: &str = "Scaleway";
/// The token on the kernel command line that says the same, on machines without DMI.
const TOKEN: &str = "scaleway";
const DMI_VENDOR: &str = "/sys/class/dmi/id/sys_vendor";
const COMMAND_LINE: &str = "/proc/cmdline";
/// The kernel's own limit for a command line is 4 KiB or less on every architecture that Instances have.
const LONGEST_COMMAND_LINE: u64 = 64 * 1024;

/// `[platform] vendor`: which machines count as a Scaleway Instance.
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

/// Proof that the check was made and passed. Only [`check()`] makes one.
#[derive(Clone, Debug)]
pub struct PlatformProof(());

/// The machine is not a Scaleway Instance. This is a normal state, not a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnInstance {
    expected: String,
    found: Option<String>,
}

/// Looks at this machine.
///
/// # Errors
/// [`NotAnInstance`] if neither the DMI system vendor nor the kernel command line names the platform. A file that cannot be read
/// names nothing.
pub fn check(vendor: &Vendor) -> Result<PlatformProof, NotAnInstance> {
    let read = |path: &str, limit| files::read_bounded(Path::new(path), limit).ok().flatten();
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    judge(vendor, text(read(DMI_VENDOR, 4096)), || text(read(COMMAND_LINE, LONGEST_COMMAND_LINE)))
}

/// Decides; reads the command line only where the DMI vendor does not decide.
fn judge(
    vendor: &Vendor,
    dmi_vendor: Option<String>,
    command_line: impl FnOnce() -> Option<String>,
) -> Result<PlatformProof, NotAnInstance> {
    let Vendor::Named(expected) = vendor else { return Ok(PlatformProof(())) };
    let found = dmi_vendor.map(|found| found.trim().to_owned());
    if found.as_ref() == Some(expected) {
        return Ok(PlatformProof(()));
    }
    let has_token =
        command_line().is_some_and(|line| line.split_ascii_whitespace().any(|word| word == TOKEN));
    if has_token {
        return Ok(PlatformProof(()));
    }
    Err(NotAnInstance { expected: expected.clone(), found })
}

impl fmt::Display for NotAnInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a Scaleway Instance (")?;
        match &self.found {
            // `{:?}` escapes what could steer a terminal.
            Some(found) => write!(f, "the DMI system vendor is {found:?} and not {:?})", self.expected),
            None => write!(f, "there is no DMI system vendor, where {:?} is expected)", self.expected),
        }
    }
}

impl std::error::Error for NotAnInstance {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_table_of_what_counts_as_an_instance() {
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
            let verdict = judge(vendor, dmi.map(str::to_owned), || command_line.map(str::to_owned));
            assert_eq!(verdict.is_ok(), trusted, "{vendor:?} {dmi:?} {command_line:?}");
        }
    }

    #[test]
    fn p1_refusal_names_what_was_found_and_is_one_line() {
        let found = judge(&Vendor::default(), Some("Evil\x1b[2J\nCorp".to_owned()), || None);
        let said = found.expect_err("not an Instance").to_string();
        assert_eq!(
            said,
            "not a Scaleway Instance (the DMI system vendor is \"Evil\\u{1b}[2J\\nCorp\" and not \"Scaleway\")"
        );
        let said = judge(&Vendor::default(), None, || None).expect_err("not an Instance").to_string();
        assert_eq!(
            said,
            "not a Scaleway Instance (there is no DMI system vendor, where \"Scaleway\" is expected)"
        );
    }
}
