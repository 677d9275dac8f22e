//! A Docker Compose text. Where it is taken, a comment behind it and other line ends change no image, and each image that
//! is called pinned ends in a digest.

use countersign::compose::{ImageList, Manifest, check_compose_text};
use serde_json::json;

pub(crate) struct Target;

impl Target {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let Ok(text) = std::str::from_utf8(input) else { return };
        // A text of somebody else is shown whether it is taken or not.
        let list = images(text);
        for image in &list.images {
            let digest = image.name.rsplit_once("@sha256:").map(|(_, digest)| digest);
            let hex = |digest: &str| {
                digest.len() == 64
                    && digest
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
            };
            let fixed = digest.is_some_and(hex) && !image.name.contains('$');
            assert!(fixed || !image.is_pinned(), "{} is called pinned", image.name);
            assert_eq!(image.digest().is_some(), image.is_pinned());
        }
        if check_compose_text(text).is_err() {
            return;
        }
        assert!(
            !list.images.is_empty() || !list.unlisted.is_empty(),
            "it runs nothing that is named"
        );
        let behind = format!("{}\n# a comment\n", text.trim_end_matches('\n'));
        if text.ends_with('\n') && check_compose_text(&behind).is_ok() {
            assert_eq!(images(&behind), list, "a comment changes the images");
        }
        if !text.contains('\r') {
            let other = text.replace('\n', "\r\n");
            assert_eq!(names(&images(&other)), names(&list), "line ends change the images");
        }
    }
}

fn images(text: &str) -> ImageList {
    let manifest = json!({"docker_compose_file": text, "allowed_envs": ["TAG"]});
    let manifest = Manifest::parse(manifest.to_string().as_bytes());
    manifest
        .map(|manifest| {
            let _ = manifest.text_variables();
            manifest.image_list()
        })
        .unwrap_or_default()
}

fn names(list: &ImageList) -> Vec<&str> {
    list.images.iter().map(|image| image.name.as_str()).collect()
}
