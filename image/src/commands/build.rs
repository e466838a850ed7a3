//! Where images are made.

use std::io::Write;

use super::{Failure, release};
use crate::args::BuildArgs;
use crate::build::{self, Inputs};
use crate::words::size;

pub(super) fn run(args: &BuildArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let inputs = Inputs {
        version: args.version,
        min_version: args.min_version,
        flavour: args.kernel,
        source: args.source.clone(),
        programs: args.programs.clone(),
        keys: args.keys.clone(),
        cache: args.cache.folder(),
        out: args.out.clone(),
    };
    let mut printed = Ok(());
    let built = build::build(&inputs, &mut |step| {
        if printed.is_ok() {
            printed = writeln!(out, "{step} …");
        }
    })?;
    printed?;
    release::keep_map(&built.map, &built.disk)?;
    let (whole, mapped) = (size(built.map.image_bytes()), size(built.map.mapped_bytes()));
    writeln!(out, "{}: {whole}, of it content {mapped}", built.disk.display())?;
    writeln!(out, "kernel {}, root {}", size(built.kernel_bytes), size(built.rootfs_bytes))?;
    writeln!(out, "{}: {}", built.update.display(), size(built.update_bytes))?;
    Ok(())
}
