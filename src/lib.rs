//! Exact and fast two-view image augmentation: the core of the Python package `tied-augment`.
//!
//! "Exact" means the pixels that Pillow computes from the same plan, bit for bit.
//!
//! Data flows one way, and so do the modules:
//!
//! ```text
//! source ─▶ decode ─▶ plan (policy, rng) ─▶ view (resize, ops) ─▶ batch ─▶ loader
//! ```
//!
//! * [`source`]: where pixels come from. [`decode`]: image files to RGB8.
//! * [`plan`]: all random choices, drawn from a counter-based generator ([`rng`]). A plan is data.
//! * [`view`]: executes plans with the kernels of [`resize`] and [`ops`].
//! * [`batch`]: many samples on the threads of a [`pool`], which reuses its buffers.
//!   [`loader`]: batches ahead of their consumer.
//! * [`packed`]: JPEG files in another code, which is quicker to read.
//! * [`loss`]: the training loss and its gradients. It shares only the pool with the rest.
//!
//! The feature `python` adds the Python module. Nothing outside of it knows Python.
//!
//! # Example
//!
//! Two views of a JPEG, one step after the other. [`batch`] does the same for many samples.
//!
//! ```
//! use tied_augment::batch::Pipeline;
//! use tied_augment::decode::{Decoder, Limits};
//! use tied_augment::image::Image;
//! use tied_augment::plan::{Crop, Shared, ViewSpec};
//! use tied_augment::policy::Augment;
//! use tied_augment::resize::Filter;
//! use tied_augment::rng::Key;
//! use tied_augment::view::{self, Renderer};
//!
//! let mut jpeg = Vec::new();
//! let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
//! encoder.encode(&[128; 60 * 40 * 3], 60, 40, jpeg_encoder::ColorType::Rgb)?;
//!
//! let view = ViewSpec {
//!     size: (24, 24),
//!     crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) },
//!     interpolation: vec![Filter::Bicubic],
//!     hflip: 0.5,
//!     vflip: 0.0,
//!     augment: Augment::default(),
//! };
//! let pipeline = Pipeline::new(vec![view.clone(), view], Shared::Nothing)?;
//!
//! // The header gives the shape, the plans follow from shape and key.
//! let mut decoder = Decoder::default();
//! let opened = decoder.open(&jpeg, Limits::default())?;
//! let shape = opened.shape();
//! let plans = pipeline.plan(shape, Key { seed: 0, epoch: 3, index: 17, view: 0 })?;
//!
//! // One decode for both views.
//! let mut image = Image::default();
//! let mut parts = Vec::new();
//! view::needed(&plans, shape, &mut parts);
//! let region = opened.read(&parts, &mut image)?;
//!
//! let mut renderer = Renderer::default();
//! let mut views = [[0; 3 * 24 * 24]; 2];
//! for (plan, view) in plans.iter().zip(&mut views) {
//!     renderer.render(image.as_ref(), region, plan, view);
//! }
//! assert_eq!(views, [[128; 3 * 24 * 24]; 2]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

// Sides of images are at most 2^31 and their products are checked. So the casts between the integer
// types that libjpeg, Philox and slices need are lossless.

pub mod batch;
mod crop;
pub mod decode;
pub mod error;
mod file;
pub mod image;
pub mod loader;
pub mod loss;
mod memory;
pub mod ops;
mod pack;
pub mod packed;
pub mod plan;
pub mod policy;
pub mod pool;
#[cfg(feature = "python")]
mod py;
pub mod resize;
pub mod rng;
pub mod simd;
pub mod source;
pub mod view;
mod workspaces;
