//! Files that only their owner reads: calls, chats and the inside of a site are nobody else's business.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes a file, in place of one that is there only where that is wanted. One that is there keeps its mode.
///
/// # Errors
/// When it cannot be made, or is there.
pub fn create(path: &Path, overwrite: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    if overwrite {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.write(true).mode(0o600).open(path)
}

/// Writes a whole file.
///
/// # Errors
/// When that is not possible.
pub fn write(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    create(path, true)?.write_all(text.as_ref())
}
