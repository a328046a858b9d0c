//! Reading files: the only place that opens one.
//!
//! Imports nothing from the crate. A folder may hold anything: what is not a regular file is refused,
//! rather than waited for (a FIFO blocks until somebody writes) or read without end (`/dev/zero`).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The largest file that is read: what the lengths in RIFF and TIFF can name.
const MAX_BYTES: u64 = 4 << 30;

/// Opens a regular file, or one behind links.
///
/// # Errors
/// The system's, and [`ErrorKind::IsADirectory`] or [`ErrorKind::InvalidInput`] for what is
/// not a regular file.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // It is the open file that is asked what it is, since another could take its name meanwhile.
        // Opening must not wait, then; reading a regular file is the same either way.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = match options.open(path) {
        Ok(file) => file,
        // A socket can't be opened at all.
        Err(error) => {
            return Err(path.metadata().map_or(Ok(()), |m| regular(&m)).err().unwrap_or(error));
        }
    };
    let metadata = file.metadata()?;
    regular(&metadata)?;
    Ok((file, metadata))
}

/// Reads a whole file into `buffer`, in place of what that holds.
///
/// # Errors
/// As [`open`], and [`ErrorKind::FileTooLarge`] beyond 4 GiB.
pub(crate) fn read(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    let (file, metadata) = open(path)?;
    read_part(&file, metadata.len(), buffer)?;
    // The length is a hint: some file systems don't know it, and a file may grow.
    (&file).take(MAX_BYTES - metadata.len() + 1).read_to_end(buffer)?;
    check_len(buffer.len() as u64)
}

/// Reads the next `len` bytes of `file` into `buffer`, in place of what that holds; fewer if it ends.
///
/// # Errors
/// The system's, and [`ErrorKind::FileTooLarge`] beyond 4 GiB.
pub(crate) fn read_part(file: &File, len: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    check_len(len)?;
    buffer.clear();
    buffer.try_reserve(len as usize)?;
    file.take(len).read_to_end(buffer)?;
    Ok(())
}

fn regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    if found.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory"));
    }
    let what = "it is a pipe, a device or a socket, not a regular file";
    Err(io::Error::new(ErrorKind::InvalidInput, what))
}

fn check_len(len: u64) -> io::Result<()> {
    if len <= MAX_BYTES {
        return Ok(());
    }
    let what = format!("more than {MAX_BYTES} bytes are too many for an image");
    Err(io::Error::new(ErrorKind::FileTooLarge, what))
}
