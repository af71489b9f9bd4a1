//! Reads Markdown into what is checked of it.

use std::ops::Range;
use std::path::PathBuf;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::{Block, Link, Page, Prose, anchors};

const BEFORE_REASON: &str = "<!-- not run: ";
const AFTER_REASON: &str = " -->";

pub(super) fn read(path: PathBuf, text: String) -> Page {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::new(&text);
    for (event, at) in Parser::new_ext(&text, options).into_offset_iter() {
        reader.take(event, at);
    }
    let Reader { mut page, .. } = reader;
    page.path = path;
    page.text = text;
    page
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    /// Where each line begins.
    starts: Vec<usize>,
    page: Page,
    /// The prose that is being read.
    open: Option<Prose>,
    /// The fence of the block that is being read, and the commands so far.
    fence: Option<(usize, bool, String)>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let lines: Vec<_> = text.split('\n').collect();
        let starts = lines.iter().scan(0, |next, line| {
            let start = *next;
            *next += line.len() + 1;
            Some(start)
        });
        let starts = starts.collect();
        let page = Page {
            path: PathBuf::new(),
            text: String::new(),
            prose: Vec::new(),
            links: Vec::new(),
            anchors: [].into(),
            blocks: Vec::new(),
            rigid: Vec::new(),
        };
        Self { lines, starts, page, open: None, fence: None }
    }

    fn line_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    fn take(&mut self, event: Event<'_>, at: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(&tag, at),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.fence {
                Some((_, _, commands)) => commands.push_str(&text),
                None => self.push(&text, at.start),
            },
            Event::Code(code) => self.push(&format!("`{code}`"), at.start),
            Event::SoftBreak | Event::HardBreak => self.push(" ", at.start),
            Event::Html(html) | Event::InlineHtml(html) => self.html(&html, at.start),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>, at: Range<usize>) {
        match tag {
            Tag::Paragraph | Tag::Heading { .. } | Tag::Item => self.open(false),
            Tag::TableCell => self.open(true),
            Tag::List(_) => self.close(),
            Tag::Table(_) | Tag::HtmlBlock => self.rigid(at),
            Tag::CodeBlock(kind) => {
                self.close();
                let info = if let CodeBlockKind::Fenced(info) = kind { info.as_ref() } else { "" };
                let is_shell = info.split([' ', ',']).next() == Some("sh");
                self.fence = Some((self.line_at(at.start), is_shell, String::new()));
                self.rigid(at);
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                let line = self.line_at(at.start);
                self.page.links.push(Link { line, target: dest_url.to_string() });
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                let heading = self.open.as_ref().map(|prose| prose.text.clone());
                anchors::add(&mut self.page.anchors, &heading.unwrap_or_default());
                self.close();
            }
            TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell => self.close(),
            TagEnd::CodeBlock => {
                let (line, is_shell, commands) = self.fence.take().expect("a block that ends has begun");
                if is_shell {
                    let not_run = self.reason_above(line);
                    self.page.blocks.push(Block { line, commands, not_run });
                }
            }
            _ => {}
        }
    }

    /// The reason of `<!-- not run: reason -->` directly above the fence on this line.
    fn reason_above(&self, line: usize) -> Option<String> {
        let above = self.lines.get(line.checked_sub(2)?)?.trim();
        Some(above.strip_prefix(BEFORE_REASON)?.strip_suffix(AFTER_REASON)?.to_owned())
    }

    fn open(&mut self, is_cell: bool) {
        self.close();
        self.open = Some(Prose { text: String::new(), is_cell, pieces: Vec::new() });
    }

    fn close(&mut self) {
        let prose = self.open.take().filter(|prose| !prose.text.trim().is_empty());
        self.page.prose.extend(prose);
    }

    fn push(&mut self, text: &str, offset: usize) {
        let line = self.line_at(offset);
        // What follows a list within its item belongs to no paragraph.
        let prose =
            self.open.get_or_insert(Prose { text: String::new(), is_cell: false, pieces: Vec::new() });
        prose.pieces.push((prose.text.len(), line));
        prose.text.push_str(text);
    }

    fn rigid(&mut self, at: Range<usize>) {
        let last = at.end.saturating_sub(1).max(at.start);
        self.page.rigid.push(self.line_at(at.start)..self.line_at(last) + 1);
    }

    /// Takes the links and anchors of tags.
    fn html(&mut self, html: &str, offset: usize) {
        let line = self.line_at(offset);
        for attribute in ["href=\"", "src=\""] {
            let targets = html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
            self.page.links.extend(targets.map(|target| Link { line, target: target.to_owned() }));
        }
        for attribute in [" id=\"", " name=\""] {
            let ids = html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
            self.page.anchors.extend(ids.map(str::to_owned));
        }
    }
}
