//! What image builders, and those who boot their images, can rely on. One file a theme.

mod boot;
mod cloud_init;
mod common;
mod daemon;
mod dependencies;
mod disk;
mod ecosystem;
mod emulated;
mod network;
mod packages;
mod platform;
mod requests;
mod rpm;
mod script_user;
mod scripts;
mod ssh;
mod upgrade;
