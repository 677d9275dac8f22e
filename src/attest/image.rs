//! By what the OS image of a CVM is known: the KMS's word, the document of its measurement, or registers of before. Pure.
//!
//! Without one of them an event log means nothing: whoever boots a system of his own can extend what he likes.

use alloy::primitives::B256;
use serde::Serialize;

use super::expected::{Expected, ReferenceRegisters};
use super::image_document;
use super::reason::Reason;
use super::report::TdReport;
use super::standing::Standing;

/// By what an image is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageWay {
    /// The KMS that the contract names certified this CVM, which it does after it looked at the image.
    Kms,
    /// The registers are those of this image, which the KMS's contract allows.
    Document(B256),
    /// The registers are those that they are compared with.
    Reference,
}

/// What is asked.
pub(super) struct Asked<'a> {
    /// Whether the KMS certified it; nothing where there is no certificate.
    pub(super) certified: Option<Result<(), Reason>>,
    pub(super) report: Option<&'a TdReport>,
    pub(super) vm_config: Option<&'a [u8]>,
    pub(super) expected: &'a Expected,
}

/// What is known.
pub(super) struct Known {
    pub(super) found: Result<(), Reason>,
    pub(super) ways: Vec<ImageWay>,
}

/// By what the image is known: one way is enough, unless another contradicts.
pub(super) fn known(asked: Asked<'_>) -> Known {
    let expected = asked.expected;
    let certified = asked.certified.map(|certified| certified.map(|()| ImageWay::Kms));
    let documented = asked
        .report
        .zip(asked.vm_config)
        .and_then(|(report, config)| documented(report, config, expected));
    let compared = asked
        .report
        .zip(expected.reference.as_ref())
        .map(|(report, reference)| compared(report, reference));
    let (mut ways, mut reasons) = (Vec::new(), Vec::new());
    for way in [certified, documented, compared].into_iter().flatten() {
        match way {
            Ok(way) => ways.push(way),
            Err(reason) => reasons.push(reason),
        }
    }
    let broken = reasons.iter().position(|reason| reason.standing() == Standing::Broken);
    let found = match (broken, ways.is_empty()) {
        (Some(broken), _) => Err(reasons.swap_remove(broken)),
        (None, false) => Ok(()),
        (None, true) => Err(reasons.into_iter().next().unwrap_or(Reason::Missing {
            what: "certificate of a KMS, document or register to know the image by",
        })),
    };
    Known { found, ways }
}

/// By the host's document of the measurement. It is of whatever image the host likes, so that the contract has to allow it.
fn documented(report: &TdReport, config: &[u8], expected: &Expected) -> Option<Result<ImageWay, Reason>> {
    let document = image_document::read(config)?;
    Some(match document {
        Err(()) => Err(Reason::Missing {
            what: "document about the image in a form that is known here",
        }),
        Ok(document) if !document.is_of(report) => Err(Reason::OtherDocument),
        Ok(document) if expected.allowed_images.contains(&document.os_image_hash) => {
            Ok(ImageWay::Document(document.os_image_hash))
        }
        Ok(_) => Err(Reason::Missing {
            what: "word of the KMS's contract that it allows the image",
        }),
    })
}

fn compared(report: &TdReport, reference: &ReferenceRegisters) -> Result<ImageWay, Reason> {
    let [rtmr0, rtmr1, rtmr2, _] = report.rtmr;
    let is_same = report.mrtd == reference.mrtd
        && reference.rtmr0.is_none_or(|reference| reference == rtmr0)
        && (rtmr1, rtmr2) == (reference.rtmr1, reference.rtmr2);
    if is_same {
        Ok(ImageWay::Reference)
    } else {
        Err(Reason::OtherImage)
    }
}
