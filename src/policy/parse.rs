//! The grammar of config strings: sections between dashes, each with a key and a number. Only
//! its policy knows what a key means.

use crate::error::{Error, Result};

/// More ops, chains or bins than this are a typing error, and would stall a worker.
const MAX_COUNT: u32 = 1000;

/// At the bounds of what ops accept: the longest translation of the largest view is just below a
/// million pixels.
const MAX_MAGNITUDE: f64 = 600.0;

/// A config string while it is read, and remarks for its author.
#[derive(Debug)]
pub struct Config<'a> {
    text: &'a str,
    /// Parts that timm accepts and ignores, each as a sentence.
    pub remarks: Vec<String>,
}

/// A section that has a number: `mstd0.5` is the key `mstd` and the value `0.5`.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    pub text: &'a str,
    pub key: &'a str,
    pub value: &'a str,
}

impl<'a> Config<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, remarks: Vec::new() }
    }

    /// The part before the first dash.
    pub fn head(&self) -> &'a str {
        self.text.split('-').next().unwrap_or_default()
    }

    /// The sections after the head.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        self.text.split('-').skip(1).map(|text| {
            let digit = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
            let (key, value) = text.split_at(digit);
            Section { text, key, value }
        })
    }

    /// Adds the remark that timm ignores `section`.
    pub fn ignored(&mut self, section: Section<'_>, why: &str) {
        let Self { text, remarks } = self;
        remarks.push(format!("auto_augment '{text}': timm ignores '{}', {why}", section.text));
    }

    /// Whether `section` has no number. timm ignores such a section, so this adds a remark.
    pub fn skips(&mut self, section: Section<'_>) -> bool {
        let skips = section.value.is_empty();
        if skips {
            self.ignored(section, "as it has no number");
        }
        skips
    }

    /// The error that says `why`.
    pub fn refuse<T>(&self, why: &str) -> Result<T> {
        Err(Error::Argument(format!("auto_augment '{}': {why}", self.text)))
    }

    /// The error for a key that the policy does not have.
    pub fn unknown<T>(&self, section: Section<'_>, known: &str) -> Result<T> {
        let Section { text, .. } = section;
        self.refuse(&format!("'{text}' is not a section of '{}'; it takes {known}", self.head()))
    }

    /// A non-negative integer of any size, as Python's `int` reads it.
    pub fn integer(&self, section: Section<'_>) -> Result<f64> {
        let value = section.value.trim();
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits => Ok(number),
            _ => {
                self.refuse(&format!("'{}' must be '{}' and an integer", section.text, section.key))
            }
        }
    }

    /// A bound of magnitudes.
    pub fn magnitude(&self, section: Section<'_>) -> Result<f64> {
        let number = self.integer(section)?;
        if number > MAX_MAGNITUDE {
            return self.refuse(&format!(
                "'{}' must be at most {MAX_MAGNITUDE}; at 10 ops have their full strength",
                section.text
            ));
        }
        Ok(number)
    }

    /// A number of things.
    pub fn count(&self, section: Section<'_>) -> Result<u32> {
        let number = self.integer(section)?;
        if number > f64::from(MAX_COUNT) {
            return self.refuse(&format!("'{}' must be at most {MAX_COUNT}", section.text));
        }
        Ok(number as u32)
    }

    /// Checks the number of ops of `width` chains of `depth` ops each.
    pub fn check_chains(&self, width: u32, depth: u32) -> Result<()> {
        if width * depth > MAX_COUNT {
            return self.refuse(&format!(
                "'w{width}' chains of 'd{depth}' ops are more than {MAX_COUNT} ops; use fewer"
            ));
        }
        Ok(())
    }

    /// A non-negative number, as Python's `float` reads it.
    pub fn number(&self, section: Section<'_>) -> Result<f64> {
        section.value.trim().parse().or_else(|_| {
            self.refuse(&format!("'{}' must be '{}' and a number", section.text, section.key))
        })
    }

    /// Reads a section whose key counts the first time only, as in timm.
    pub fn once(
        &mut self,
        section: Section<'_>,
        value: &mut Option<f64>,
        read: fn(&Self, Section<'_>) -> Result<f64>,
    ) -> Result<()> {
        let number = read(self, section)?;
        if value.is_some() {
            self.ignored(section, "as the key is given already");
        }
        value.get_or_insert(number);
        Ok(())
    }
}
