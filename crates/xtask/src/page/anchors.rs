//! The anchors of headings, as GitHub and mdbook make them.

use std::collections::BTreeSet;

/// What a link names after `#` to reach a heading of this text: in small letters, without punctuation, hyphens for blanks.
pub(super) fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().flat_map(char::to_lowercase);
    let kept = kept.filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

/// Adds the anchor of a heading. The second heading of the same text gets `-1`, the third `-2`.
pub(super) fn add(anchors: &mut BTreeSet<String>, heading: &str) {
    let slug = slug(heading);
    let numbered = (1..).map(|number| format!("{slug}-{number}"));
    let free = std::iter::once(slug.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
    anchors.extend(free);
}
