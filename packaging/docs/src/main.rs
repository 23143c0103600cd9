//! `cargo docs`: writes the manual pages and completions below packaging/usr/share. These files are in the repository, so that a package can be
//! built without this program. A test fails if they are not current.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../usr/share");
    for (name, text) in scw_docs::files() {
        let path = top.join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}
