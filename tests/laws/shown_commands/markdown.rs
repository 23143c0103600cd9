//! What the tests need of a Markdown file: its fenced blocks with the comments that precede them, its links and its headings.

/// A command in a `console` block.
pub(crate) struct ShownCommand {
    /// The number of its line.
    pub(crate) line: usize,
    /// Its prompt: `$ ` for any user, `# ` for root.
    pub(crate) prompt: &'static str,
    pub(crate) text: String,
    /// The lines that it prints; `None` if the block shows no output at all.
    pub(crate) output: Option<Vec<String>>,
}

/// A fenced block.
pub(crate) struct Block<'a> {
    /// The number of its first line.
    pub(crate) line: usize,
    pub(crate) language: &'a str,
    /// The comment on the line before it: `<!-- not run: … -->` or `<!-- saved as … -->`. For a block in a part that a test
    /// writes, the comment at the beginning of that part.
    pub(crate) comment: &'a str,
    pub(crate) text: Vec<&'a str>,
}

impl<'a> Block<'a> {
    /// What follows `name: ` or `name ` in the block's comment.
    pub(crate) fn mark(&self, name: &str) -> Option<&'a str> {
        let rest = self.comment.strip_prefix("<!--")?.strip_suffix("-->")?.trim().strip_prefix(name)?;
        Some(rest.trim_start_matches(':').trim()).filter(|rest| !rest.is_empty())
    }

    /// The commands of a `console` block, each with the lines between it and the next one; none if the block does not begin with a
    /// prompt. A backslash at the end of a line continues the command.
    pub(crate) fn commands(&self) -> Vec<ShownCommand> {
        let mut found: Vec<ShownCommand> = Vec::new();
        let mut is_continued = false;
        for (line, text) in (self.line + 1..).zip(&self.text) {
            let prompt = ["$ ", "# "].into_iter().find(|prompt| text.starts_with(prompt));
            match (prompt, found.last_mut()) {
                (_, Some(command)) if is_continued => command.text += &format!("\n{text}"),
                (Some(prompt), _) => {
                    let text = text[prompt.len()..].to_owned();
                    found.push(ShownCommand { line, prompt, text, output: Some(Vec::new()) });
                }
                (None, Some(command)) => command.output.get_or_insert_default().push((*text).to_owned()),
                (None, None) => return Vec::new(),
            }
            is_continued = text.ends_with('\\') && (is_continued || prompt.is_some());
        }
        if found.iter().all(|command| command.output.as_ref().is_none_or(Vec::is_empty)) {
            found.iter_mut().for_each(|command| command.output = None);
        }
        found
    }

    /// Whether a test writes the part of the document in which the block is.
    pub(crate) fn is_written_by_a_test(&self) -> bool {
        self.comment.contains("written by the test") && self.comment.ends_with(": begin -->")
    }
}

/// The fenced blocks of a document. A block in a list is indented; the indentation is removed.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let (mut found, mut open, mut part, mut before) = (Vec::new(), None::<(Block, usize)>, "", "");
    for (line, number) in text.lines().zip(1..) {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        match &mut open {
            Some(_) if bare.trim_end() == "```" => found.extend(open.take().map(|(block, _)| block)),
            Some((block, margin)) => block.text.push(&line[indent.min(*margin)..]),
            None => {
                if let Some(language) = bare.strip_prefix("```") {
                    let comment = if part.is_empty() { before } else { part };
                    open = Some((Block { line: number, language, comment, text: Vec::new() }, indent));
                } else if bare.starts_with("<!--") && bare.ends_with(": begin -->") {
                    part = bare;
                } else if bare == "<!-- end -->" {
                    part = "";
                }
            }
        }
        before = bare;
    }
    assert!(open.is_none(), "a fenced block has no end");
    found
}

/// The lines outside of fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    })
}

/// The targets of the links and pictures, with the numbers of their lines.
pub(crate) fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let parts = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(parts.map(|(target, _)| (number, target)));
    }
    found
}

/// The anchors of the headings, as GitHub makes them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    let headings = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let is_kept = |sign: &char| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_');
    headings.map(|line| line.chars().filter(is_kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn blocks_links_and_anchors_are_found() {
    let text = "# A `b` c!\n<!-- not run: no cloud -->\n```console\n$ ls\n```\n[x](y.md#z), ![p](q.svg)\n```sh\n[no](link)\n```\n\
                <!-- written by the test `t`: begin -->\n- item\n\n  ```console\n  # id\n    two\n  ```\n<!-- end -->\n```text\n```\n";
    let found = blocks(text);
    let shown: Vec<_> =
        found.iter().map(|block| (block.line, block.language, block.text.join("|"))).collect();
    let expected =
        [(3, "console", "$ ls"), (7, "sh", "[no](link)"), (13, "console", "# id|  two"), (18, "text", "")];
    assert_eq!(shown, expected.map(|(line, language, text)| (line, language, text.to_owned())));
    assert_eq!(found[0].mark("not run"), Some("no cloud"));
    assert_eq!(found[1].mark("not run"), None);
    assert_eq!([1, 2, 3].map(|at: usize| found[at].is_written_by_a_test()), [false, true, false]);
    let commands = blocks("```console\n# a \\\n  b\n1\n$ c\n```\n```console\n$ d\n$ e\n```\n");
    let [first, second] = &commands[0].commands()[..] else { panic!("two commands") };
    assert_eq!((first.line, first.prompt, &*first.text), (2, "# ", "a \\\n  b"));
    assert_eq!(
        (first.output.as_deref(), second.output.as_deref()),
        (Some(&["1".to_owned()][..]), Some(&[][..]))
    );
    assert!(commands[1].commands().iter().all(|command| command.output.is_none()));
    assert_eq!(links(text), [(6, "y.md#z"), (6, "q.svg")]);
    assert_eq!(anchors(text), ["a-b-c"]);
}
