//! Plans as the dicts that `View.plan` gives.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::ops::{Fill, Mixing, Op, Sampling};
use crate::plan::Plan;
use crate::resize::Filter;

/// A plan as the dict that `View.plan` documents.
pub fn dict<'py>(py: Python<'py>, plan: &Plan) -> PyResult<Bound<'py, PyDict>> {
    let geometry = &plan.geometry;
    let crop = (geometry.crop.x, geometry.crop.y, geometry.crop.w, geometry.crop.h);
    let interpolation = geometry.interpolation.map(Filter::name);
    let ops = PyList::empty(py);
    let arguments = PyDict::new(py);
    arguments.set_item("x", geometry.crop.x)?;
    arguments.set_item("y", geometry.crop.y)?;
    arguments.set_item("w", geometry.crop.w)?;
    arguments.set_item("h", geometry.crop.h)?;
    ops.append(("crop", arguments))?;
    if let Some(filter) = interpolation {
        let arguments = PyDict::new(py);
        arguments.set_item("size", geometry.frame.map_or(plan.size, |frame| frame.resized))?;
        arguments.set_item("interpolation", filter)?;
        ops.append(("resize", arguments))?;
    }
    if let Some(frame) = geometry.frame {
        let arguments = PyDict::new(py);
        arguments.set_item("x", frame.x)?;
        arguments.set_item("y", frame.y)?;
        arguments.set_item("size", plan.size)?;
        ops.append(("frame", arguments))?;
    }
    for (name, done) in [("hflip", geometry.hflip), ("vflip", geometry.vflip)] {
        if done {
            ops.append((name, PyDict::new(py)))?;
        }
    }
    for op in &plan.ops {
        ops.append(named(py, op)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("crop", crop)?;
    dict.set_item("interpolation", interpolation)?;
    dict.set_item("hflip", geometry.hflip)?;
    dict.set_item("vflip", geometry.vflip)?;
    dict.set_item("ops", ops)?;
    Ok(dict)
}

/// An op as a pair of its name and its arguments.
fn named<'py>(py: Python<'py>, op: &Op) -> PyResult<(&'static str, Bound<'py, PyDict>)> {
    let arguments = PyDict::new(py);
    let set = |name, value: f64| arguments.set_item(name, value);
    match op {
        Op::AutoContrast | Op::Equalize | Op::Invert | Op::Grayscale => {}
        Op::Posterize { bits } => arguments.set_item("bits", bits)?,
        Op::Solarize { threshold } => set("threshold", *threshold)?,
        Op::SolarizeAdd { add, threshold } => {
            arguments.set_item("add", add)?;
            arguments.set_item("threshold", threshold)?;
        }
        Op::Color { factor }
        | Op::Contrast { factor }
        | Op::Brightness { factor }
        | Op::Sharpness { factor }
        | Op::Hue { factor } => set("factor", *factor)?,
        Op::ShearX { factor, sampling } | Op::ShearY { factor, sampling } => {
            set("factor", *factor)?;
            sampled(&arguments, sampling)?;
        }
        Op::TranslateX { pixels, sampling } | Op::TranslateY { pixels, sampling } => {
            set("pixels", *pixels)?;
            sampled(&arguments, sampling)?;
        }
        Op::Rotate { degrees, sampling } => {
            set("degrees", *degrees)?;
            sampled(&arguments, sampling)?;
        }
        Op::Affine { matrix, sampling } => {
            arguments.set_item("matrix", matrix.as_slice())?;
            sampled(&arguments, sampling)?;
        }
        Op::GaussianBlur { radius } => set("radius", *radius)?,
        Op::GaussianKernel { kernel_size, sigma } => {
            arguments.set_item("kernel_size", kernel_size)?;
            set("sigma", *sigma)?;
        }
        Op::Mix { mixing, chains } => {
            mixed(&arguments, *mixing)?;
            let list = PyList::empty(py);
            for chain in chains {
                let ops = chain.ops.iter().map(|op| named(py, op)).collect::<PyResult<Vec<_>>>()?;
                list.append((chain.weight, ops))?;
            }
            arguments.set_item("chains", list)?;
        }
        Op::Erase { x, y, w, h, fill } => {
            for (name, value) in [("x", x), ("y", y)] {
                arguments.set_item(name, value)?;
            }
            for (name, value) in [("w", w), ("h", h)] {
                arguments.set_item(name, value)?;
            }
            filled(&arguments, fill)?;
        }
    }
    Ok((op.name(), arguments))
}

fn sampled(arguments: &Bound<'_, PyDict>, sampling: &Sampling) -> PyResult<()> {
    arguments.set_item("interpolation", sampling.filter.name())?;
    arguments.set_item("fill", <(u8, u8, u8)>::from(sampling.fill))
}

fn mixed(arguments: &Bound<'_, PyDict>, mixing: Mixing) -> PyResult<()> {
    match mixing {
        Mixing::Sum { amount } => {
            arguments.set_item("mixing", "sum")?;
            arguments.set_item("amount", amount)
        }
        Mixing::Blends => arguments.set_item("mixing", "blends"),
        Mixing::Weighted { image } => {
            arguments.set_item("mixing", "weighted")?;
            arguments.set_item("image", image)
        }
    }
}

fn filled(arguments: &Bound<'_, PyDict>, fill: &Fill) -> PyResult<()> {
    match fill {
        Fill::Colour(colour) => arguments.set_item("fill", <(u8, u8, u8)>::from(*colour)),
        Fill::Noise { mean, std, seed } => {
            arguments.set_item("fill", "noise")?;
            arguments.set_item("mean", <(f32, f32, f32)>::from(*mean))?;
            arguments.set_item("std", <(f32, f32, f32)>::from(*std))?;
            arguments.set_item("seed", seed)
        }
    }
}
