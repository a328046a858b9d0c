//! The config strings `tv-...`.

use super::tables::{CIFAR10, IMAGENET, SVHN};
use super::{Kind, Torchvision};
use crate::error::Result;
use crate::ops::Interpolation;
use crate::policy::parse::{Config, Section};

impl Torchvision {
    pub(in crate::policy) fn parse(config: &Config<'_>) -> Result<Self> {
        let mut sections = config.sections();
        let name = match config.head() {
            "trivial" => "trivial",
            _ => sections.next().map_or("", |section| section.text),
        };
        let mut reader = SectionReader { config, known: &[], filter: Interpolation::Nearest };
        let kind = match name {
            "rand" => rand(&mut reader, sections)?,
            "trivial" => {
                let mut bins = 31;
                reader.known = &["b"];
                reader.read(sections, |_, section| {
                    bins = config.count(section)?;
                    Ok(())
                })?;
                check_bins(config, bins)?;
                Kind::Trivial { bins }
            }
            "auto" => {
                let table = match sections.next().map(|section| section.text) {
                    Some("imagenet") => &IMAGENET,
                    Some("cifar10") => &CIFAR10,
                    Some("svhn") => &SVHN,
                    _ => return config.refuse("after tv-auto- comes imagenet, cifar10 or svhn"),
                };
                reader.read(sections, |_, _| Ok(()))?;
                Kind::Auto(table)
            }
            "augmix" => augmix(&mut reader, sections)?,
            _ => return config.refuse("after tv- comes rand, trivial, auto or augmix"),
        };
        Ok(Self { kind, filter: reader.filter })
    }
}

/// Reads the sections of a policy.
struct SectionReader<'a, 'b> {
    config: &'a Config<'b>,
    known: &'static [&'static str],
    filter: Interpolation,
}

impl<'b> SectionReader<'_, 'b> {
    /// Calls `set` with each section whose key is known. The section `i...`, the filter, is read
    /// here.
    fn read(
        &mut self,
        sections: impl Iterator<Item = Section<'b>>,
        mut set: impl FnMut(&str, Section<'b>) -> Result<()>,
    ) -> Result<()> {
        for section in sections {
            let filter = section.text.strip_prefix('i').and_then(Interpolation::from_name);
            if let Some(filter) = filter {
                self.filter = filter;
            } else if self.known.contains(&section.key) {
                set(section.key, section)?;
            } else {
                let mut known: Vec<&str> = self.known.to_vec();
                known.push("i (inearest, ibilinear or ibicubic)");
                return self.config.unknown(section, &known.join(", "));
            }
        }
        Ok(())
    }
}

fn rand<'a>(
    reader: &mut SectionReader<'_, 'a>,
    sections: impl Iterator<Item = Section<'a>>,
) -> Result<Kind> {
    let config = reader.config;
    let (mut num_ops, mut magnitude, mut bins, mut prob) = (2, 9, 31, 1.0);
    reader.known = &["n", "m", "b", "p"];
    reader.read(sections, |key, section| {
        match key {
            "n" => num_ops = config.count(section)?,
            "m" => magnitude = config.count(section)?,
            "b" => bins = config.count(section)?,
            _ => prob = config.number(section)?,
        }
        Ok(())
    })?;
    check_bins(config, bins)?;
    if magnitude >= bins {
        return config.refuse(&format!("the magnitude m{magnitude} must be below the {bins} bins"));
    }
    if prob > 1.0 {
        return config.refuse(&format!("p must be a probability from 0 to 1, not {prob}"));
    }
    Ok(Kind::Rand { num_ops, magnitude, bins, prob })
}

fn augmix<'a>(
    reader: &mut SectionReader<'_, 'a>,
    sections: impl Iterator<Item = Section<'a>>,
) -> Result<Kind> {
    let config = reader.config;
    let (mut severity, mut width, mut depth, mut alpha) = (3, 3, 0, 1.0);
    reader.known = &["m", "w", "d", "a"];
    reader.filter = Interpolation::Bilinear;
    reader.read(sections, |key, section| {
        match key {
            "m" => severity = config.count(section)?,
            "w" => width = config.count(section)?,
            "d" => depth = config.count(section)?,
            _ => alpha = config.number(section)?,
        }
        Ok(())
    })?;
    if !(1..=10).contains(&severity) {
        return config.refuse(&format!("the severity m must be from 1 to 10, not {severity}"));
    }
    if width == 0 || !(alpha > 0.0 && alpha.is_finite()) {
        return config.refuse("the width w must be at least 1 and the concentration a above 0");
    }
    config.check_chains(width, depth)?;
    Ok(Kind::AugMix { severity, width, depth, alpha })
}

fn check_bins(config: &Config<'_>, bins: u32) -> Result<()> {
    // torchvision divides by bins - 1.
    if bins < 2 { config.refuse("the number of bins, b, must be at least 2") } else { Ok(()) }
}
