//! Medians, spreads, targets; as a table and as JSON.

use serde_json::{Value, json};

use super::measure::Cost;

/// One quantity's samples.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

/// What a quantity is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Megabytes (10^6 bytes).
    Megabytes,
    /// Pieces.
    Count,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Median at most this part of theirs.
    PartOfTheirs(f64),
    /// Median at most this.
    AtMost(f64),
    /// The largest sample at most this.
    NeverAbove(f64),
    /// For information.
    None,
}

/// One line of the result.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Unit of the samples.
    pub unit: Unit,
    /// This program's.
    pub ours: Samples,
    /// The official tool's, where there is one to compare with.
    pub theirs: Samples,
    /// What is aimed at.
    pub target: Target,
}

impl Samples {
    /// One more.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }
    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> Option<f64> {
        let (low, high) = (self.0.len().checked_sub(1)? / 2, self.0.len() / 2);
        Some(f64::midpoint(*self.0.get(low)?, *self.0.get(high)?))
    }
    fn least(&self) -> Option<f64> {
        self.0.first().copied()
    }
    fn most(&self) -> Option<f64> {
        self.0.last().copied()
    }
    fn shown(&self, unit: Unit) -> String {
        let (Some(median), Some(least), Some(most)) = (self.median(), self.least(), self.most()) else {
            return String::new();
        };
        let text = |value: f64| unit.shown(value);
        format!("{} ({}–{})", text(median), text(least), text(most))
    }
    fn json(&self) -> Value {
        json!({"median": self.median(), "least": self.least(), "most": self.most(), "samples": self.0})
    }
}

impl Unit {
    fn shown(self, value: f64) -> String {
        match self {
            Self::Count if value.fract() == 0.0 => format!("{value:.0}"),
            Self::Count => format!("{value:.1}"),
            Self::Milliseconds | Self::Megabytes if value < 100.0 => format!("{value:.1}"),
            Self::Milliseconds | Self::Megabytes => format!("{value:.0}"),
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Megabytes => "MB",
            Self::Count => "",
        }
    }
}

impl Row {
    /// A line without samples.
    pub fn new(name: &str, unit: Unit, target: Target) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            ours: Samples::default(),
            theirs: Samples::default(),
            target,
        }
    }
    /// Wall time of one run each.
    pub fn add(&mut self, ours: Cost, theirs: Cost) {
        self.ours.add(ours.wall.as_secs_f64() * 1e3);
        self.theirs.add(theirs.wall.as_secs_f64() * 1e3);
    }
    /// How many times ours goes into theirs.
    fn ratio(&self) -> Option<f64> {
        Some(self.theirs.median()? / self.ours.median()?)
    }
    fn is_met(&self) -> Option<bool> {
        let ours = self.ours.median()?;
        match self.target {
            Target::PartOfTheirs(part) => Some(ours <= self.theirs.median()? * part),
            Target::AtMost(limit) => Some(ours <= limit),
            Target::NeverAbove(limit) => Some(self.ours.most()? <= limit),
            Target::None => None,
        }
    }
    fn target_text(&self) -> String {
        match self.target {
            Target::PartOfTheirs(part) => format!("≤ 1/{:.0} of theirs", 1.0 / part),
            Target::AtMost(limit) => format!("median ≤ {}", self.unit.shown(limit)),
            Target::NeverAbove(limit) => format!("≤ {}", self.unit.shown(limit)),
            Target::None => String::new(),
        }
    }
    fn cells(&self) -> [String; 6] {
        let met = self.is_met().map_or("", |met| if met { "met" } else { "missed" });
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("1/{ratio:.1}"));
        let name = match self.unit.name() {
            "" => self.name.clone(),
            unit => format!("{}, {unit}", self.name),
        };
        [
            name,
            self.ours.shown(self.unit),
            self.theirs.shown(self.unit),
            ratio,
            self.target_text(),
            met.to_owned(),
        ]
    }
    /// The line for programs.
    pub fn json(&self) -> Value {
        json!({"name": self.name, "unit": self.unit.name(), "ours": self.ours.json(), "theirs": self.theirs.json(),
            "ratio": self.ratio(), "target": self.target_text(), "met": self.is_met()})
    }
}

/// Time, processor time and memory of one command, ours beside theirs.
#[derive(Debug)]
pub struct Costs([Row; 3]);

impl Costs {
    /// Targets for time and memory; processor time is for information.
    pub fn new(name: &str, time: Target, memory: Target) -> Self {
        Self([
            Row::new(&format!("{name}: wall time"), Unit::Milliseconds, time),
            Row::new(&format!("{name}: processor time"), Unit::Milliseconds, Target::None),
            Row::new(&format!("{name}: peak memory"), Unit::Megabytes, memory),
        ])
    }
    /// One run of ours.
    pub fn ours(&mut self, cost: Cost) {
        for (row, value) in self.0.iter_mut().zip(cost.values()) {
            row.ours.add(value);
        }
    }
    /// One run of theirs.
    pub fn theirs(&mut self, cost: Cost) {
        for (row, value) in self.0.iter_mut().zip(cost.values()) {
            row.theirs.add(value);
        }
    }
    /// The lines.
    pub fn rows(self) -> [Row; 3] {
        self.0
    }
}

impl Cost {
    fn values(self) -> [f64; 3] {
        let bytes = u32::try_from(self.memory / 1000).unwrap_or(u32::MAX);
        [
            self.wall.as_secs_f64() * 1e3,
            self.processor.as_secs_f64() * 1e3,
            f64::from(bytes) / 1e3,
        ]
    }
}

/// The table, aligned.
pub fn table(rows: &[Row]) -> String {
    let head = ["", "countersign", "official", "ratio", "target", ""].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let padded = |line: &[String; 6]| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n")
}
