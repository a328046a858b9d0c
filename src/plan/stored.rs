//! Plans as stored data: a list of steps in the order of execution, each a pair of a name and its
//! arguments.
//!
//! ```json
//! [["crop", {"x": 5, "y": 5, "w": 105, "h": 92}],
//!  ["resize", {"size": [64, 64], "interpolation": "bicubic"}],
//!  ["hflip", {}],
//!  ["Solarize", {"threshold": 128.0}]]
//! ```
//!
//! `crop` comes first. `resize`, `frame`, `hflip` and `vflip` follow in this order, those that the
//! plan has. The ops come last, under their own names. A list may have been edited by hand, so
//! everything unknown or out of order is refused.

use serde::de::Error;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decided::{Frame, Plan};
use crate::image::Rect;
use crate::ops::Op;
use crate::ops::pair::{self, Pair};
use crate::resize::Filter;

/// The arguments of `resize`. If a `frame` follows, its size is the view's.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResizeArguments {
    size: (u32, u32),
    interpolation: Filter,
}

/// The arguments of `frame`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameArguments {
    x: i32,
    y: i32,
    size: (u32, u32),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fill: Option<[u8; 3]>,
}

/// The arguments of a flip: none.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlipArguments {}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let geometry = &self.geometry;
        let mut steps = serializer.serialize_seq(None)?;
        steps.serialize_element(&("crop", geometry.crop))?;
        if let Some(interpolation) = geometry.interpolation {
            let size = geometry.frame.map_or(self.size, |frame| frame.resized);
            steps.serialize_element(&("resize", ResizeArguments { size, interpolation }))?;
        }
        if let Some(Frame { x, y, fill, .. }) = geometry.frame {
            steps.serialize_element(&("frame", FrameArguments { x, y, size: self.size, fill }))?;
        }
        for (name, flips) in [("hflip", geometry.hflip), ("vflip", geometry.vflip)] {
            if flips {
                steps.serialize_element(&(name, FlipArguments {}))?;
            }
        }
        for op in &self.ops {
            steps.serialize_element(op)?;
        }
        steps.end()
    }
}

/// A step of any kind.
enum Step {
    Crop(Rect),
    Resize(ResizeArguments),
    Frame(FrameArguments),
    Hflip(FlipArguments),
    Vflip(FlipArguments),
    Op(Op),
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Self::Crop(_) => "crop",
            Self::Resize(_) => "resize",
            Self::Frame(_) => "frame",
            Self::Hflip(_) => "hflip",
            Self::Vflip(_) => "vflip",
            Self::Op(op) => op.name(),
        }
    }
}

impl Pair for Step {
    fn read<'de, D: Deserializer<'de>>(name: &str, arguments: D) -> Result<Self, D::Error> {
        match name {
            "crop" => pair::arguments(name, arguments).map(Self::Crop),
            "resize" => pair::arguments(name, arguments).map(Self::Resize),
            "frame" => pair::arguments(name, arguments).map(Self::Frame),
            "hflip" => pair::arguments(name, arguments).map(Self::Hflip),
            "vflip" => pair::arguments(name, arguments).map(Self::Vflip),
            _ => Op::read(name, arguments).map(Self::Op),
        }
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pair::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let steps = Vec::<Step>::deserialize(deserializer)?;
        from_steps(steps).map_err(D::Error::custom)
    }
}

fn from_steps(steps: Vec<Step>) -> Result<Plan, String> {
    let mut plan = Plan::default();
    let geometry = &mut plan.geometry;
    let mut steps = steps.into_iter().peekable();
    let Some(Step::Crop(crop)) = steps.next() else {
        return Err("a plan's ops must begin with 'crop'".into());
    };
    geometry.crop = crop;
    plan.size = (crop.h, crop.w);
    if let Some(Step::Resize(ResizeArguments { size, interpolation })) =
        steps.next_if(|step| matches!(step, Step::Resize(_)))
    {
        geometry.interpolation = Some(interpolation);
        plan.size = size;
        if let Some(Step::Frame(FrameArguments { x, y, size, fill })) =
            steps.next_if(|step| matches!(step, Step::Frame(_)))
        {
            geometry.frame = Some(Frame { resized: plan.size, x, y, fill });
            plan.size = size;
        }
    }
    geometry.hflip = steps.next_if(|step| matches!(step, Step::Hflip(_))).is_some();
    geometry.vflip = steps.next_if(|step| matches!(step, Step::Vflip(_))).is_some();
    for step in steps {
        match step {
            Step::Op(op) => plan.ops.push(op),
            _ => {
                return Err(format!(
                    "'{}' is out of order: a plan's ops are crop, resize, frame, hflip, vflip and \
                     then all others, and only a resized crop has a frame",
                    step.name()
                ));
            }
        }
    }
    Ok(plan)
}
