//! `cargo docs`: writes the generated files below packaging, and the generated parts of the pages in docs/reference. They are in the
//! repository, so that a package can be built without this program. A test fails if they are not current.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, text) in scw_docs::files() {
        let path = top.join(&name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, text)?;
        println!("{name}");
    }
    let schema = fs::read_to_string(top.join(scw_docs::SCHEMA))?;
    for part in scw_docs::parts(&schema) {
        let path = top.join(part.page);
        let lacks_mark =
            || io::Error::other(format!("{} has no marks for the part `{}`", part.page, part.name));
        let page = part.in_page(&fs::read_to_string(&path)?).ok_or_else(lacks_mark)?;
        fs::write(&path, page)?;
        println!("{}: {}", part.page, part.name);
    }
    Ok(())
}
