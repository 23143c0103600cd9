//! Which block device of this machine is which volume of the Instance.
//!
//! | module | what it does |
//! |---|---|
//! | `block_device` | the types: a disk, its partitions, its file systems |
//! | `read_disks` | reads the disks from /sys, /dev/disk, /run/udev and the mount table |
//! | `matching` | the decision: volumes of the document, disks as read → which is which (pure) |
//! | `report` | the result as a JSON document |
//!
//! This module only reads, and needs no privilege. It must not use the network.

pub(crate) mod block_device;
pub(crate) mod matching;
pub(crate) mod read_disks;
pub(crate) mod report;
