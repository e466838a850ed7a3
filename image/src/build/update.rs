//! The signed update: the two images of a slot in RAUC's format.
//!
//! Both images are `adaptive`: a box reuses every 4 KiB block that already lies in one of its slots
//! and fetches only the rest. The outer blocks are as small and not compressed for the same reason:
//! what did not change in an image has the same bytes at the same distances in the bundle.

use std::path::PathBuf;

use super::tools::{Tools, Work};
use super::{BuildError, COMPATIBLE, Inputs, Parts, copy, write};

/// Only the tables behind the images are compressed.
const OUTER_BLOCKS: &str = "--mksquashfs-args=-b 4096 -noD -noF";

pub(super) fn sign(
    tools: &Tools,
    work: &Work,
    inputs: &Inputs,
    parts: &Parts,
) -> Result<PathBuf, BuildError> {
    let content = work.path("update");
    copy(&parts.kernel, &content.join("kernel.img"))?;
    copy(&parts.rootfs, &content.join("rootfs.img"))?;
    let image =
        |class: &str| format!("[image.{class}]\nfilename={class}.img\nadaptive=block-hash-index\n");
    let manifest = format!(
        "[update]\ncompatible={COMPATIBLE}\nversion={}\n[bundle]\nformat=verity\n{}{}",
        inputs.version,
        image("kernel"),
        image("rootfs"),
    );
    write(&content.join("manifest.raucm"), manifest)?;
    let keys = work.path("keys");
    for name in ["ca.cert.pem", "release.cert.pem", "release.key.pem"] {
        copy(&inputs.keys.join(name), &keys.join(name))?;
    }
    let inside = tools.inside(&keys).display().to_string();
    let conf = format!(
        "[system]\ncompatible={COMPATIBLE}\nbootloader=noop\n\
         [keyring]\npath={inside}/ca.cert.pem\ncheck-purpose=codesign\n"
    );
    write(&keys.join("rauc.conf"), conf)?;
    let made = work.path("update.raucb");
    let (conf, cert, key) = (
        format!("--conf={inside}/rauc.conf"),
        format!("--cert={inside}/release.cert.pem"),
        format!("--key={inside}/release.key.pem"),
    );
    tools.run("rauc", &[&conf, &"bundle", &cert, &key, &OUTER_BLOCKS, &content, &made])?;
    let update = inputs.out.join("update.raucb");
    copy(&made, &update)?;
    Ok(update)
}
