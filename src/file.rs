//! Reading files and parts of archives: the only module that opens a file.
//!
//! A data set's folder may hold anything, so only regular files are read. A FIFO would block until
//! somebody writes to it, and `/dev/zero` would never end.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::memory;

/// The largest file that is read: 4 GiB, since RIFF and TIFF give lengths in 32 bits.
const MAX_BYTES: u64 = 4 << 30;

/// A file that contains image files, such as a tar archive.
///
/// It is remembered as it was when the members' positions were noted, and opened anew for each
/// member. A handle that is kept open would read on in an archive that has been replaced. A file
/// that has changed since is refused: another image may lie at a member's position now, and it
/// would come with the wrong target.
#[derive(Debug)]
pub struct Archive {
    path: Box<Path>,
    len: u64,
    modified: Option<SystemTime>,
}

impl Archive {
    /// The archive as it is now.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file, or it is not a regular one.
    pub fn new(path: impl Into<Box<Path>>) -> Result<Self> {
        let path = path.into();
        let (_, found) =
            open(&path).map_err(|error| Error::from(error).at(path.display().to_string()))?;
        Ok(Self { path, len: found.len(), modified: found.modified().ok() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `len` bytes from byte `start` on into `buffer`, in place of its content.
    pub(crate) fn read<'b>(
        &self,
        start: u64,
        len: u64,
        buffer: &'b mut Vec<u8>,
    ) -> io::Result<&'b [u8]> {
        let (mut file, now) = open(&self.path)?;
        if now.len() != self.len || now.modified().ok() != self.modified {
            return Err(io::Error::other("the archive has changed: make the data set anew"));
        }
        file.seek(SeekFrom::Start(start))?;
        read_member(&file, len, buffer)?;
        Ok(buffer)
    }
}

/// Reads a whole file into `buffer`, in place of its content.
///
/// # Errors
/// As [`open`], and [`ErrorKind::FileTooLarge`] beyond 4 GiB.
pub(crate) fn read<'b>(path: &Path, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    let (file, metadata) = open(path)?;
    read_to_end(&file, metadata.len(), buffer)?;
    Ok(buffer)
}

/// Reads `file` to its end into `buffer`, in place of its content.
///
/// The length is a hint: some file systems don't know it, and a file may grow or shrink meanwhile.
/// What is read is what the file has at its place at that time. It is never mapped into memory,
/// where a file that shrinks would end the process.
fn read_to_end(file: &File, len: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    read_part(file, len, buffer)?;
    let mut rest = file.take(MAX_BYTES - len + 1);
    let rest = rest.read_to_end(buffer);
    match rest {
        // It wanted to double the buffer.
        Err(error) if error.kind() == ErrorKind::OutOfMemory => memory::none(buffer.capacity()),
        rest => rest?,
    };
    check_len(buffer.len() as u64)
}

/// Reads the next `len` bytes of an archive into `buffer`, in place of its content.
fn read_member(file: &File, len: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    read_part(file, len, buffer)?;
    if buffer.len() as u64 == len {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::UnexpectedEof, "the archive is truncated"))
}

/// Tells the system that the bytes in `range` of a file will soon be read, so that it reads the
/// disk meanwhile. An empty range is the whole file.
///
/// Does nothing for what can't be read, and on systems that can't be told.
pub(crate) fn announce(path: &Path, range: Range<u64>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok((file, _)) = open(path) {
        use std::os::fd::AsRawFd;
        let position = |byte| libc::off64_t::try_from(byte).unwrap_or(libc::off64_t::MAX);
        let (start, len) = (position(range.start), position(range.end - range.start));
        // SAFETY: the file is open, and the call touches no memory of this process.
        unsafe { libc::posix_fadvise64(file.as_raw_fd(), start, len, libc::POSIX_FADV_WILLNEED) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (path, range);
}

/// Opens a regular file; links are followed.
///
/// # Errors
/// The system's; [`ErrorKind::IsADirectory`] or [`ErrorKind::InvalidInput`] if it is not a regular
/// file.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // The check below looks at the open file, since another file could take the name in
        // between. So opening must not block; for a regular file the flags make no difference.
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

/// Reads the next `len` bytes of `file` into `buffer`, in place of its content; fewer if the file
/// ends.
///
/// All of them are asked for at once. `read_to_end` alone would begin with 8 KiB and double that,
/// which takes three more calls for a photograph, and the system would read the disk in such parts.
fn read_part(mut file: &File, len: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    check_len(len)?;
    let len = len as usize;
    // Only what is beyond the previous content has to be cleared.
    memory::resize(buffer, len, 0);
    let mut filled = 0;
    while filled < len {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
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

#[cfg(test)]
mod tests {
    use super::{Archive, announce, read};

    #[test]
    fn files_of_any_length_replace_the_content_of_a_buffer() {
        let path = std::env::temp_dir().join(format!("tied-augment-read-{}", std::process::id()));
        let bytes: Vec<u8> = (0..100_000u64).map(|i| ((i * i) >> 5) as u8).collect();
        let mut buffer = b"before".to_vec();
        for len in [100_000, 0, 1, 31, 32, 33, 8191, 8192, 8193, 70_000] {
            std::fs::write(&path, &bytes[..len]).unwrap();
            announce(&path, 0..0);
            assert_eq!(read(&path, &mut buffer).unwrap(), &bytes[..len]);
            announce(&path, 5..u64::MAX);
            let archive = Archive::new(path.clone()).unwrap();
            let member = archive.read(len as u64 / 3, len as u64 / 2, &mut buffer).unwrap();
            assert_eq!(member, &bytes[len / 3..][..len / 2]);
        }
        std::fs::remove_file(&path).unwrap();
        announce(&path, 0..0);
        announce(&std::env::temp_dir(), 0..0);
        assert!(read(&path, &mut buffer).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn files_may_change_after_they_are_opened() {
        use std::io::{ErrorKind, Write};

        use super::{open, read_member, read_to_end};

        let path = std::env::temp_dir().join(format!("tied-augment-change-{}", std::process::id()));
        let other = path.with_extension("new");
        let bytes: Vec<u8> = (0..100_000u64).map(|i| ((i * i) >> 5) as u8).collect();
        let mut buffer = b"before".to_vec();
        let mut changed = |change: &dyn Fn()| {
            std::fs::write(&path, &bytes[..50_000]).unwrap();
            let read = [open(&path).unwrap(), open(&path).unwrap()];
            change();
            let [(whole, found), (member, _)] = read;
            read_to_end(&whole, found.len(), &mut buffer).unwrap();
            let whole = buffer.clone();
            let error = read_member(&member, found.len(), &mut buffer).err();
            (whole, error.map(|error| error.kind()))
        };
        let to_end = std::fs::OpenOptions::new().append(true).clone();
        let grown = changed(&|| {
            to_end.open(&path).unwrap().write_all(&bytes[50_000..]).unwrap();
        });
        assert!(grown == (bytes.clone(), None));
        let cut = changed(&|| to_end.open(&path).unwrap().set_len(7).unwrap());
        assert!(cut == (bytes[..7].to_vec(), Some(ErrorKind::UnexpectedEof)));
        let emptied = changed(&|| to_end.open(&path).unwrap().set_len(0).unwrap());
        assert!(emptied == (Vec::new(), Some(ErrorKind::UnexpectedEof)));
        let replaced = changed(&|| {
            std::fs::write(&other, b"another").unwrap();
            std::fs::rename(&other, &path).unwrap();
        });
        assert!(replaced == (bytes[..50_000].to_vec(), None));
        let removed = changed(&|| std::fs::remove_file(&path).unwrap());
        assert!(removed == (bytes[..50_000].to_vec(), None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_without_a_known_length_are_read() {
        let path = std::path::Path::new("/proc/self/stat");
        assert_eq!(path.metadata().unwrap().len(), 0);
        assert!(read(path, &mut vec![7; 9]).unwrap().len() > 20);
    }
}
