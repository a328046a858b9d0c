//! What the formats besides JPEG have in common: they are opened, then decoded whole.
//!
//! The formats import this module. It knows none of them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, Result, panic_text};
use crate::image::Image;
use crate::memory::NoMemory;

/// A step of a format's decoder: its result, or why there is none.
pub type Cause<T> = std::result::Result<T, String>;

/// A file of one format whose header has been read, without decoding pixels.
pub trait ImageFile {
    /// Height and width in pixels, as `read` will make them.
    fn shape(&self) -> (u32, u32);

    /// Decodes all pixels into `image`. Alpha is dropped, as Pillow does.
    fn read(self: Box<Self>, image: &mut Image) -> Cause<()>;
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread comes from a damaged file, so that a panic hook need not print
/// it.
#[cfg(any(feature = "python", test))]
pub fn panic_is_the_files() -> bool {
    DECODING.get()
}

/// Runs one step of the decoder of `format`. A panic becomes an error of the file: decoders index
/// by what the file says, few check all of it, and a damaged file must not end a training run.
/// Missing memory is not the file's fault, and goes on unwinding.
pub fn contained<T>(format: &'static str, step: impl FnOnce() -> Cause<T>) -> Result<T> {
    DECODING.set(true);
    let result = catch_unwind(AssertUnwindSafe(step));
    DECODING.set(false);
    let result = result.unwrap_or_else(|payload| {
        if payload.is::<NoMemory>() {
            resume_unwind(payload);
        }
        let panic = panic_text(&*payload);
        Err(format!("the file is damaged; the decoder stopped with: {panic}"))
    });
    result.map_err(|cause| Error::decode(format, cause))
}

/// Refuses a file that is too short for its image, before memory is allocated for the image.
/// `ratio` is how many bytes the format's compression makes of one, at most.
pub fn check_ratio(compressed: usize, wanted: u64, ratio: u64) -> Cause<()> {
    if (compressed as u64).saturating_mul(ratio) < wanted {
        return Err(format!("the file is truncated: {compressed} bytes cannot hold the image"));
    }
    Ok(())
}

/// RGBA to RGB.
pub fn drop_alpha(rgba: &[u8], image: &mut Image) {
    for (rgba, rgb) in rgba.chunks_exact(4).zip(image.data.chunks_exact_mut(3)) {
        rgb.copy_from_slice(&rgba[..3]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, contained, panic_is_the_files};
    use crate::error::Error;
    use crate::memory;

    #[test]
    fn a_panic_of_a_decoder_is_the_files_failure() {
        let result = contained("GIF", || -> Cause<()> { panic!("no room for {}", 7) });
        let Err(error) = result else { panic!("it went well") };
        assert!(matches!(error, Error::Decode { format: "GIF", .. }));
        let said =
            "cannot decode GIF: the file is damaged; the decoder stopped with: no room for 7";
        assert_eq!(error.to_string(), said);
        assert!(contained("GIF", || Ok(panic_is_the_files())).is_ok_and(|inside| inside));
        assert!(!panic_is_the_files());
    }

    #[test]
    fn missing_memory_is_not_the_files_failure() {
        let step = || contained("GIF", || -> Cause<()> { memory::none(7) });
        assert!(matches!(memory::caught(step), Err(Error::Memory { bytes: 7 })));
        assert!(!panic_is_the_files());
    }
}
