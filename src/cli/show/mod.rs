//! What people and programs see: pages, reports, and the one place that prints.

pub(super) mod advice;
pub(super) mod attestation;
pub(super) mod changes;
pub(super) mod consent;
pub(super) mod html;
pub(super) mod manifest;
pub(super) mod markdown;
pub(super) mod names;
pub(super) mod output;
pub(super) mod power;
pub(super) mod report;
pub(super) mod review;
pub(super) mod runner;
pub(super) mod text;
pub(super) mod verified;
pub(super) mod view;
pub(super) mod words;
