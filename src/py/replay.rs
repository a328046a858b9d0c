//! Plans read back from what `View.plan` gives (see [`super::plans`]), for `render`.
//!
//! Lists are accepted for tuples, so that plans survive JSON; what is not known is refused.

use std::fmt::Display;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::image::Rect;
use crate::ops::{Chain, Fill, Interpolation, Mixing, Op, Sampling};
use crate::plan::{Frame, Plan};
use crate::resize::Filter;

/// The plan whose `ops` these are.
pub fn plan(ops: &Bound<'_, PyAny>) -> PyResult<Plan> {
    let mut entries = Vec::new();
    let wrong = |_| {
        let got = ops.get_type();
        PyTypeError::new_err(format!("a plan's ops must be a list of pairs, got {got}"))
    };
    for entry in ops.try_iter().map_err(wrong)? {
        entries.push(Arguments::new(&entry?)?);
    }
    let mut entries = entries.into_iter().peekable();
    let mut take = |name: &str| entries.next_if(|entry| entry.name == name);
    let Some(crop) = take("crop") else {
        return Err(PyValueError::new_err("a plan's ops must begin with 'crop'"));
    };
    let mut plan = Plan::default();
    let geometry = &mut plan.geometry;
    geometry.crop =
        Rect { x: crop.get("x")?, y: crop.get("y")?, w: crop.get("w")?, h: crop.get("h")? };
    plan.size = (geometry.crop.h, geometry.crop.w);
    crop.finish(4)?;
    if let Some(resize) = take("resize") {
        plan.size = resize.get::<[u32; 2]>("size")?.into();
        geometry.interpolation = Some(resize.named(
            "interpolation",
            Filter::from_name,
            &Filter::ALL.map(Filter::name),
        )?);
        resize.finish(2)?;
        if let Some(frame) = take("frame") {
            let (x, y) = (frame.get("x")?, frame.get("y")?);
            geometry.frame = Some(Frame { resized: plan.size, x, y });
            plan.size = frame.get::<[u32; 2]>("size")?.into();
            frame.finish(3)?;
        }
    }
    for (name, flip) in [("hflip", &mut geometry.hflip), ("vflip", &mut geometry.vflip)] {
        if let Some(entry) = take(name) {
            *flip = true;
            entry.finish(0)?;
        }
    }
    plan.ops = entries.map(op).collect::<PyResult<_>>()?;
    Ok(plan)
}

fn op(entry: Arguments<'_>) -> PyResult<Op> {
    let (op, arguments) = match entry.name.as_str() {
        "AutoContrast" => (Op::AutoContrast, 0),
        "Equalize" => (Op::Equalize, 0),
        "Invert" => (Op::Invert, 0),
        "Grayscale" => (Op::Grayscale, 0),
        "Posterize" => (Op::Posterize { bits: entry.get("bits")? }, 1),
        "Solarize" => (Op::Solarize { threshold: entry.get("threshold")? }, 1),
        "SolarizeAdd" => {
            let (add, threshold) = (entry.get("add")?, entry.get("threshold")?);
            (Op::SolarizeAdd { add, threshold }, 2)
        }
        "Color" => (Op::Color { factor: entry.get("factor")? }, 1),
        "Contrast" => (Op::Contrast { factor: entry.get("factor")? }, 1),
        "Brightness" => (Op::Brightness { factor: entry.get("factor")? }, 1),
        "Sharpness" => (Op::Sharpness { factor: entry.get("factor")? }, 1),
        "Hue" => (Op::Hue { factor: entry.get("factor")? }, 1),
        "GaussianBlur" => (Op::GaussianBlur { radius: entry.get("radius")? }, 1),
        "GaussianKernel" => {
            let (kernel_size, sigma) = (entry.get("kernel_size")?, entry.get("sigma")?);
            (Op::GaussianKernel { kernel_size, sigma }, 2)
        }
        "Mix" => mix(&entry)?,
        "Erase" => erase(&entry)?,
        _ => (geometric(&entry)?, 3),
    };
    entry.finish(arguments)?;
    Ok(op)
}

/// An op that looks pixels up, the last that a name can be.
fn geometric(entry: &Arguments<'_>) -> PyResult<Op> {
    let sampling = || {
        let names = Interpolation::ALL.map(Interpolation::name);
        let filter = entry.named("interpolation", Interpolation::from_name, &names)?;
        Ok::<_, PyErr>(Sampling { filter, fill: entry.get("fill")? })
    };
    Ok(match entry.name.as_str() {
        "ShearX" => Op::ShearX { factor: entry.get("factor")?, sampling: sampling()? },
        "ShearY" => Op::ShearY { factor: entry.get("factor")?, sampling: sampling()? },
        "TranslateX" => Op::TranslateX { pixels: entry.get("pixels")?, sampling: sampling()? },
        "TranslateY" => Op::TranslateY { pixels: entry.get("pixels")?, sampling: sampling()? },
        "Rotate" => Op::Rotate { degrees: entry.get("degrees")?, sampling: sampling()? },
        "Affine" => Op::Affine { matrix: entry.get("matrix")?, sampling: sampling()? },
        name @ ("crop" | "resize" | "frame" | "hflip" | "vflip") => {
            return Err(PyValueError::new_err(format!(
                "'{name}' is out of order: a plan's ops are crop, resize, frame, hflip, vflip and \
                 then all others, and only a resized crop has a frame"
            )));
        }
        name => return Err(PyValueError::new_err(format!("a plan has no op named '{name}'"))),
    })
}

fn mix(entry: &Arguments<'_>) -> PyResult<(Op, usize)> {
    let kind: String = entry.get("mixing")?;
    let (mixing, arguments) = match kind.as_str() {
        "sum" => (Mixing::Sum { amount: entry.get("amount")? }, 3),
        "blends" => (Mixing::Blends, 2),
        "weighted" => (Mixing::Weighted { image: entry.get("image")? }, 3),
        other => {
            let message = format!("'mixing' must be 'sum', 'blends' or 'weighted', not '{other}'");
            return Err(entry.refuse(message));
        }
    };
    let mut chains = Vec::new();
    for chain in entry.get::<Vec<Bound<'_, PyAny>>>("chains")? {
        let [weight, ops]: [Bound<'_, PyAny>; 2] = chain
            .extract()
            .map_err(|_| entry.refuse("a chain must be a pair of a weight and a list of ops"))?;
        let ops = ops.try_iter()?.map(|entry| op(Arguments::new(&entry?)?));
        chains.push(Chain { weight: weight.extract()?, ops: ops.collect::<PyResult<_>>()? });
    }
    Ok((Op::Mix { mixing, chains }, arguments))
}

fn erase(entry: &Arguments<'_>) -> PyResult<(Op, usize)> {
    let noise = entry.get::<String>("fill").is_ok_and(|fill| fill == "noise");
    let (fill, arguments) = if noise {
        let (mean, std) = (entry.get("mean")?, entry.get("std")?);
        (Fill::Noise { mean, std, seed: entry.get("seed")? }, 8)
    } else {
        (Fill::Colour(entry.get("fill")?), 5)
    };
    let (x, y, w, h) = (entry.get("x")?, entry.get("y")?, entry.get("w")?, entry.get("h")?);
    Ok((Op::Erase { x, y, w, h, fill }, arguments))
}

/// An entry of a plan's `ops`, being read.
struct Arguments<'py> {
    name: String,
    dict: Bound<'py, PyDict>,
}

impl<'py> Arguments<'py> {
    fn new(entry: &Bound<'py, PyAny>) -> PyResult<Self> {
        let pair = entry.extract::<[Bound<'py, PyAny>; 2]>().ok().and_then(|[name, dict]| {
            Some(Self { name: name.extract().ok()?, dict: dict.cast_into::<PyDict>().ok()? })
        });
        pair.ok_or_else(|| {
            let got = entry.repr().map_or_else(|_| "something else".into(), |r| r.to_string());
            PyTypeError::new_err(format!(
                "an entry of a plan's ops must be a pair of a name and a dict, got {got}"
            ))
        })
    }

    fn refuse(&self, what: impl Display) -> PyErr {
        PyValueError::new_err(format!("{}: {what}", self.name))
    }

    /// The argument `key`.
    fn get<T: for<'a> FromPyObject<'a, 'py>>(&self, key: &str) -> PyResult<T> {
        let Some(value) = self.dict.get_item(key)? else {
            return Err(self.refuse(format!("argument '{key}' is missing")));
        };
        value.extract().map_err(|_| self.refuse(format!("argument '{key}' cannot be {value}")))
    }

    /// The argument `key`, a name that `from_name` knows.
    fn named<T>(
        &self,
        key: &str,
        from_name: impl Fn(&str) -> Option<T>,
        known: &[&str],
    ) -> PyResult<T> {
        let name: String = self.get(key)?;
        from_name(&name).ok_or_else(|| {
            self.refuse(format!("'{key}' must be one of '{}', not '{name}'", known.join("', '")))
        })
    }

    /// Refuses arguments beyond the `known` ones that have been read.
    fn finish(&self, known: usize) -> PyResult<()> {
        if self.dict.len() == known {
            return Ok(());
        }
        Err(self.refuse(format!("takes {known} arguments, got {}", self.dict)))
    }
}
