//! libjpeg's decompressor with a safe interface: all `unsafe` of the decoders is in this folder.
//!
//! libjpeg reports a fatal error by calling `error_exit`, which must not return. Ours unwinds to
//! the call in [`guard`]. The C frames between them are compiled for unwinding (the `unwinding`
//! feature of `mozjpeg-sys`).
//!
//! The calls have an order, which the types follow: [`Decompressor::open`] reads the header and
//! gives a [`Decompression`]; then come `start`, `crop`, `skip` and `read`. libjpeg checks its
//! state itself, so a call out of order is an error and not undefined behaviour. Dropping the
//! `Decompression` destroys what libjpeg made for the file.
//!
//! After `start`, a source of coefficients can take the place of libjpeg's entropy decoder
//! ([`entropy`]). The type parameter of both types says which.

mod bounds;
#[cfg(target_arch = "x86_64")]
mod colours;
mod entropy;

use std::ffi::{c_int, c_long};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{fmt, mem, ptr};

use memchr::memmem;
use mozjpeg_sys as sys;

use self::bounds::Progress;
#[cfg(target_arch = "x86_64")]
pub use self::colours::Colours;
use self::entropy::Hook;
use super::coefficients::Coefficients;
use crate::memory;

/// What `jpeg_read_header` returns when it has one.
const HEADER_OK: c_int = 1;

const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];

/// Why a file could not be decoded, in libjpeg's words.
#[derive(Debug)]
pub struct LibjpegError(String);

impl LibjpegError {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for LibjpegError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Result<T> = std::result::Result<T, LibjpegError>;

/// What libjpeg is told when the bytes run out before the image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// The image ends here. libjpeg fills the rest, and [`Decompression::ended_early`] is true.
    EndImage,
    /// More bytes will come, as Pillow tells it. Reading then fails as truncated.
    Suspend,
}

/// libjpeg's source manager, and what our callbacks need besides. libjpeg's struct is first, so
/// that a pointer to it is a pointer to this.
#[repr(C)]
struct SourceManager {
    manager: sys::jpeg_source_mgr,
    ended: bool,
    on_end: OnEnd,
}

impl SourceManager {
    fn gave_up(&self) -> bool {
        self.ended && self.on_end == OnEnd::EndImage
    }
}

/// The memory of a libjpeg decompressor, which is created anew for every file.
///
/// `jpeg_abort` would not be enough. It is made for abbreviated streams and keeps the quantisation
/// and Huffman tables, so a file without tables would be decoded with those of the file before.
/// Creating and destroying take 0.1 microseconds.
pub struct Decompressor<S> {
    // Boxed, since libjpeg keeps pointers to all five.
    cinfo: Box<sys::jpeg_decompress_struct>,
    _error: Box<sys::jpeg_error_mgr>,
    source: Box<SourceManager>,
    progress: Box<Progress>,
    hook: Box<Hook<S>>,
}

// SAFETY: libjpeg keeps no thread-local state, and all that the decompressor points to is owned by
// this struct or, while a file is open, borrowed by `Decompression`.
unsafe impl<S: Send> Send for Decompressor<S> {}

impl<S> fmt::Debug for Decompressor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl<S: Coefficients + Default> Default for Decompressor<S> {
    fn default() -> Self {
        Self::new(S::default())
    }
}

impl<S: Coefficients> Decompressor<S> {
    /// With a source of coefficients, which [`Decompression::use_own_coefficients`] uses.
    pub fn new(coefficients: S) -> Self {
        // SAFETY: these are C structs of integers, floats, nullable pointers and callbacks, for all
        // of which zero is a valid value; libjpeg fills them.
        let (mut cinfo, mut error, progress): (
            Box<sys::jpeg_decompress_struct>,
            Box<sys::jpeg_error_mgr>,
            sys::jpeg_progress_mgr,
        ) = unsafe { (Box::new(mem::zeroed()), Box::new(mem::zeroed()), mem::zeroed()) };
        // SAFETY: `error` is a live error manager.
        unsafe { sys::jpeg_std_error(&mut error) };
        error.error_exit = Some(error_exit);
        error.emit_message = Some(emit_message);
        let progress = Box::new(Progress::new(progress));
        cinfo.common.err = &raw mut *error;
        let manager = sys::jpeg_source_mgr {
            next_input_byte: ptr::null(),
            bytes_in_buffer: 0,
            init_source: Some(no_op),
            fill_input_buffer: Some(fill_input_buffer),
            skip_input_data: Some(skip_input_data),
            resync_to_restart: Some(sys::jpeg_resync_to_restart),
            term_source: Some(no_op),
        };
        let source = Box::new(SourceManager { manager, ended: false, on_end: OnEnd::EndImage });
        let hook = Box::new(Hook::new(coefficients));
        Self { cinfo, _error: error, source, progress, hook }
    }

    /// Reads the header of `bytes`.
    pub fn open<'a>(&'a mut self, bytes: &'a [u8], on_end: OnEnd) -> Result<Decompression<'a, S>> {
        let mut file = Decompression { context: self, bytes };
        file.read_header(on_end)?;
        Ok(file)
    }
}

/// A file whose header has been read.
#[derive(Debug)]
pub struct Decompression<'a, S: Coefficients> {
    context: &'a mut Decompressor<S>,
    bytes: &'a [u8],
}

impl<S: Coefficients> Decompression<'_, S> {
    /// Starts again from the first byte.
    pub fn reopen(&mut self, on_end: OnEnd) -> Result<()> {
        self.close();
        self.read_header(on_end)
    }

    /// Creates the decompressor and reads the header. [`Self::close`] must come before the next
    /// call.
    fn read_header(&mut self, on_end: OnEnd) -> Result<()> {
        let Decompressor { cinfo, source, progress, .. } = &mut *self.context;
        source.manager.next_input_byte = self.bytes.as_ptr();
        source.manager.bytes_in_buffer = self.bytes.len();
        source.ended = false;
        source.on_end = on_end;
        // SAFETY: `cinfo` is live and its error manager is set, as libjpeg asks; what was created
        // before has been destroyed.
        guard(|| unsafe { sys::jpeg_create_decompress(&raw mut **cinfo) })?;
        cinfo.src = (&raw mut **source).cast();
        cinfo.common.progress = (&raw mut **progress).cast();
        // SAFETY: the source reads `self.bytes`, which stay borrowed.
        let found = guard(|| unsafe { sys::jpeg_read_header(cinfo, 1) })?;
        if found != HEADER_OK {
            return Err(truncated());
        }
        // Grey and YCbCr become RGB in libjpeg as in Pillow; CMYK and YCCK become CMYK.
        cinfo.out_color_space = match cinfo.num_components {
            1 | 3 => sys::J_COLOR_SPACE::JCS_RGB,
            4 => sys::J_COLOR_SPACE::JCS_CMYK,
            n => return Err(LibjpegError(format!("an image of {n} components has no RGB"))),
        };
        Ok(())
    }

    /// Destroys the decompressor.
    fn close(&mut self) {
        // SAFETY: legal in every state, even after an error or if creating the struct failed. It
        // releases all memory.
        unsafe { sys::jpeg_destroy_decompress(&mut self.context.cinfo) };
        self.context.hook.detach();
        self.context.source.manager.bytes_in_buffer = 0;
        self.context.source.manager.next_input_byte = ptr::null();
    }

    /// Height and width in pixels.
    pub fn shape(&self) -> (u32, u32) {
        (self.context.cinfo.image_height, self.context.cinfo.image_width)
    }

    /// Whether rows come as inverted CMYK, four bytes per pixel, rather than RGB.
    pub fn is_cmyk(&self) -> bool {
        self.context.cinfo.out_color_space == sys::J_COLOR_SPACE::JCS_CMYK
    }

    /// Begins decoding. If the file has several scans, this reads them all.
    pub fn start(&mut self) -> Result<()> {
        let (height, width) = self.shape();
        self.context.progress.start(u64::from(height) * u64::from(width));
        let cinfo = &mut *self.context.cinfo;
        // SAFETY: the header has been read, and the source's bytes are borrowed by `self`.
        let started = guard(|| unsafe { sys::jpeg_start_decompress(cinfo) })?;
        if started == 0 { Err(truncated()) } else { Ok(()) }
    }

    /// Lets the source of coefficients decode the image in place of libjpeg's entropy decoder, if
    /// it can. Call it right after [`Self::start`]. Returns whether it does.
    pub fn use_own_coefficients(&mut self) -> bool {
        let Decompressor { cinfo, source, hook, .. } = &mut *self.context;
        if source.ended {
            return false;
        }
        let manager = &mut source.manager;
        let ahead = &self.bytes[self.bytes.len() - manager.bytes_in_buffer..];
        // SAFETY: decoding has just started. `hook` is boxed, and only used between libjpeg's calls.
        let Some(length) = (unsafe { hook.attach(cinfo, ahead) }) else { return false };
        // libjpeg is now where its own decoder would be after the whole scan.
        let rest = &ahead[length..];
        manager.next_input_byte = rest.as_ptr();
        manager.bytes_in_buffer = rest.len();
        true
    }

    /// Whether the source of coefficients gave up. The file must then be decoded again without it.
    pub fn coefficients_failed(&self) -> bool {
        self.context.hook.failed()
    }

    /// The source of coefficients, to read them without libjpeg. No more rows can be read then.
    #[cfg(target_arch = "x86_64")]
    pub fn coefficients(&mut self) -> &mut S {
        &mut self.context.hook.source
    }

    /// Restricts all rows to at least the columns `left..left + width`. Returns the first column
    /// that libjpeg will decode and how many there are. Call it before the first row.
    pub fn crop(&mut self, mut left: u32, mut width: u32) -> Result<(u32, u32)> {
        let cinfo = &mut *self.context.cinfo;
        // SAFETY: decoding has started; libjpeg checks its state and the range itself.
        guard(|| unsafe { sys::jpeg_crop_scanline(cinfo, &mut left, &mut width) })?;
        self.context.hook.crop(&mut self.context.cinfo, left, width);
        Ok((left, width))
    }

    /// Skips `rows` rows. The image's last row can't be skipped.
    pub fn skip(&mut self, rows: u32) -> Result<()> {
        let cinfo = &mut *self.context.cinfo;
        // SAFETY: decoding has started; libjpeg checks its state itself.
        guard(|| unsafe { sys::jpeg_skip_scanlines(cinfo, rows) })?;
        Ok(())
    }

    /// Reads as many rows of `stride` bytes as `rows` holds, or fewer if the bytes have
    /// [run out](Self::ran_out).
    ///
    /// # Panics
    /// If `stride` is shorter than a row.
    pub fn read(&mut self, rows: &mut [u8], stride: usize) -> Result<()> {
        let cinfo = &self.context.cinfo;
        let row = cinfo.output_width as usize * cinfo.output_components as usize;
        assert!(stride >= row, "a row has {row} bytes, not {stride}");
        for row in rows.chunks_exact_mut(stride) {
            let mut row = row.as_mut_ptr();
            let cinfo = &mut *self.context.cinfo;
            // SAFETY: libjpeg writes one row, which fits as asserted.
            if guard(|| unsafe { sys::jpeg_read_scanlines(cinfo, &raw mut row, 1) })? != 1 {
                return Err(truncated());
            }
            if self.ran_out() {
                break;
            }
        }
        Ok(())
    }

    /// Whether all further rows would be made up: the bytes have run out and libjpeg was told that
    /// the image ends there, or the source of coefficients gave up.
    pub fn ran_out(&self) -> bool {
        self.context.source.gave_up() || self.coefficients_failed()
    }

    /// Whether the bytes ran out before the image did, or have no end marker after what has been
    /// read.
    pub fn ended_early(&self) -> bool {
        let source = &self.context.source;
        // libjpeg may have read the end marker already. Then its position is just after the marker.
        let read = self.bytes.len() - source.manager.bytes_in_buffer.min(self.bytes.len());
        let ahead = &self.bytes[read.saturating_sub(END_OF_IMAGE.len())..];
        source.ended || memmem::rfind(ahead, &END_OF_IMAGE).is_none()
    }
}

impl<S: Coefficients> Drop for Decompression<'_, S> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whether libjpeg was built with its SIMD routines and this machine can run them.
#[cfg(any(feature = "python", target_arch = "x86_64"))]
pub fn simd() -> bool {
    unsafe extern "C" {
        fn jsimd_can_idct_islow() -> c_int;
    }
    // SAFETY: a function of libjpeg-turbo without arguments, in every build of it.
    unsafe { jsimd_can_idct_islow() != 0 }
}

fn truncated() -> LibjpegError {
    LibjpegError("the file is truncated".into())
}

/// Runs a libjpeg call and turns the unwinding of `error_exit` into a failure.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        match payload.downcast::<LibjpegError>() {
            Ok(failure) => *failure,
            Err(other) => resume_unwind(other),
        }
    })
}

unsafe extern "C-unwind" fn error_exit(cinfo: &mut sys::jpeg_common_struct) {
    /// The real type of `format_message`, which writes up to 200 bytes. The binding declares an
    /// argument of 80 bytes that is read.
    type FormatMessage = unsafe extern "C-unwind" fn(*mut sys::jpeg_common_struct, *mut [u8; 200]);
    // SAFETY: as below.
    if unsafe { (*cinfo.err).msg_code } == sys::JERR_OUT_OF_MEMORY as c_int {
        // libjpeg does not tell how much it wanted.
        memory::none(0);
    }
    let mut message = [0; 200];
    // SAFETY: `err` is the error manager of this context.
    if let Some(format) = unsafe { (*cinfo.err).format_message } {
        // SAFETY: two function pointers whose arguments are pointers to sized types.
        let format = unsafe { mem::transmute::<*const (), FormatMessage>(format as *const ()) };
        // SAFETY: libjpeg's own formatter, on the context that it passed; it writes at most
        // JMSG_LENGTH_MAX = 200 bytes.
        unsafe { format(cinfo, &raw mut message) };
    }
    let text = message.split(|&byte| byte == 0).next().unwrap_or_default();
    // Not `panic!`: a broken file is not a bug, and the panic hook must stay silent.
    resume_unwind(Box::new(LibjpegError(String::from_utf8_lossy(text).into_owned())));
}

/// Ignores libjpeg's warnings, as Pillow does: it returns the pixels despite them.
unsafe extern "C-unwind" fn emit_message(_: &mut sys::jpeg_common_struct, _level: c_int) {}

unsafe extern "C-unwind" fn no_op(_: &mut sys::jpeg_decompress_struct) {}

unsafe extern "C-unwind" fn fill_input_buffer(cinfo: &mut sys::jpeg_decompress_struct) -> c_int {
    // SAFETY: `src` was set by `open` to a `SourceManager`, which begins with libjpeg's struct.
    let source = unsafe { &mut *cinfo.src.cast::<SourceManager>() };
    source.ended = true;
    match source.on_end {
        OnEnd::Suspend => 0,
        OnEnd::EndImage => {
            source.manager.next_input_byte = END_OF_IMAGE.as_ptr();
            source.manager.bytes_in_buffer = END_OF_IMAGE.len();
            1
        }
    }
}

unsafe extern "C-unwind" fn skip_input_data(cinfo: &mut sys::jpeg_decompress_struct, n: c_long) {
    // SAFETY: as in `fill_input_buffer`.
    let source = unsafe { &mut *cinfo.src.cast::<SourceManager>() };
    let skip = usize::try_from(n).unwrap_or(0).min(source.manager.bytes_in_buffer);
    // SAFETY: at most as many bytes as the buffer still holds.
    source.manager.next_input_byte = unsafe { source.manager.next_input_byte.add(skip) };
    source.manager.bytes_in_buffer -= skip;
}
