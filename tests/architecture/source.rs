//! One crate's modules, read from its source: the names each module has, and the paths its code mentions.
//!
//! Code that only tests compile is left out. A `use` within a function counts as one of the function's module.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, ItemMacro, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility,
    ext::IdentExt,
    punctuated::Punctuated,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The text of a crate's files by their path below `src`.
pub(crate) type Files = BTreeMap<String, String>;

/// A crate's files, modules and mentions.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) files: Vec<File>,
    pub(crate) modules: Vec<Module>,
    pub(crate) mentions: Vec<Mention>,
    /// Macros by name, for calls that find their macro by the order of the text.
    pub(crate) macros: HashMap<String, FileId>,
    pub(crate) types: Vec<TypeName>,
}

/// A type or trait that a module defines.
#[derive(Debug)]
pub(crate) struct TypeName {
    pub(crate) name: String,
    pub(crate) file: FileId,
    /// Whether other modules see it.
    pub(crate) is_visible: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModuleId(pub(crate) usize);

#[derive(Debug)]
pub(crate) struct File {
    /// Below `src`.
    pub(crate) path: String,
    /// The file that declares this one as a module; the crate's root has none.
    pub(crate) parent: Option<FileId>,
}

/// A module, be it a file or a block.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) file: FileId,
    pub(crate) parent: Option<ModuleId>,
    /// A name may stand for a module and for a function.
    pub(crate) names: HashMap<String, Vec<Name>>,
    /// Paths whose names are imported with `*`.
    pub(crate) globs: Vec<Vec<String>>,
}

/// The meaning of a name in a module.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Item,
    Module(ModuleId),
    Import(Vec<String>),
}

/// A path in a `use` or in code.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) module: ModuleId,
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) is_macro: bool,
}

/// All files below a directory that end in `.rs`.
pub(crate) fn read(directory: &Path) -> Files {
    let mut files = Files::new();
    read_into(directory, "", &mut files);
    files
}

fn read_into(directory: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let below = format!("{prefix}{name}");
        if path.is_dir() {
            read_into(&path, &format!("{below}/"), files);
        } else if name.ends_with(".rs") {
            files.insert(below, fs::read_to_string(&path).unwrap());
        }
    }
}

impl Source {
    /// Follows the modules of a crate from its root, `lib.rs` or `main.rs`.
    pub(crate) fn parse(files: &Files, root: &str) -> Self {
        let mut source = Self::default();
        let file = source.add_file(root, None);
        let module = source.add_module(file, None);
        source.parse_file(files, module, "");
        source
    }

    /// Reads a module's file. `directory` has the files of its children.
    fn parse_file(&mut self, files: &Files, module: ModuleId, directory: &str) {
        let path = self.file_of(module).path.clone();
        let text = &files[&path];
        let parsed = syn::parse_file(text).unwrap_or_else(|error| {
            panic!("{path}:{}: {error}", error.span().start().line);
        });
        if parsed.attrs.iter().any(is_for_tests) {
            return;
        }
        let mut reader = Reader {
            source: self,
            files,
            module,
            directory: directory.to_owned(),
            depth: 0,
        };
        reader.visit_file(&parsed);
    }

    fn add_file(&mut self, path: &str, parent: Option<FileId>) -> FileId {
        let path = path.to_owned();
        self.files.push(File { path, parent });
        FileId(self.files.len() - 1)
    }

    fn add_module(&mut self, file: FileId, parent: Option<ModuleId>) -> ModuleId {
        self.modules.push(Module {
            file,
            parent,
            names: HashMap::new(),
            globs: Vec::new(),
        });
        ModuleId(self.modules.len() - 1)
    }

    pub(crate) fn file_of(&self, module: ModuleId) -> &File {
        &self.files[self.modules[module.0].file.0]
    }

    fn name(&mut self, module: ModuleId, name: &Ident, meaning: Name) {
        let names = &mut self.modules[module.0].names;
        names.entry(text(name)).or_default().push(meaning);
    }
}

/// Collects the names and the mentions of one module.
struct Reader<'a> {
    source: &'a mut Source,
    files: &'a Files,
    module: ModuleId,
    /// Ends in a slash unless it is empty.
    directory: String,
    /// Blocks of functions around the present place. Items of a block are visible in that block
    /// alone.
    depth: usize,
}

impl Reader<'_> {
    fn mention(&mut self, path: Vec<String>, line: usize, is_macro: bool) {
        self.source.mentions.push(Mention {
            module: self.module,
            path,
            line,
            is_macro,
        });
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |ident: &Ident| match text(ident) {
            name if name == "self" && !prefix.is_empty() => prefix.to_vec(),
            name => [prefix, &[name]].concat(),
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.import_as(with(&name.ident), None, name.span()),
            UseTree::Rename(rename) => {
                let path = with(&rename.ident);
                self.import_as(path, Some(&rename.rename), rename.span());
            }
            UseTree::Glob(glob) => {
                self.mention(prefix.to_vec(), glob.span().start().line, false);
                let globs = &mut self.source.modules[self.module.0].globs;
                globs.push(prefix.to_vec());
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, prefix);
                }
            }
        }
    }

    fn import_as(&mut self, path: Vec<String>, alias: Option<&Ident>, span: proc_macro2::Span) {
        let name = alias.map(text).or_else(|| path.last().cloned());
        self.mention(path.clone(), span.start().line, false);
        if let Some(name) = name {
            let names = &mut self.source.modules[self.module.0].names;
            names.entry(name).or_default().push(Name::Import(path));
        }
    }

    /// Reads a child module in its place or in its file.
    fn child(&mut self, item: &ItemMod) {
        let name = text(&item.ident);
        let directory = format!("{}{name}/", self.directory);
        let parent = self.source.modules[self.module.0].file;
        let Some((_, items)) = &item.content else {
            let beside = format!("{}{name}.rs", self.directory);
            let within = format!("{directory}mod.rs");
            let found = [&beside, &within]
                .into_iter()
                .find(|path| self.files.contains_key(*path));
            let path = found.unwrap_or_else(|| panic!("there is neither {beside} nor {within}"));
            let file = self.source.add_file(path, Some(parent));
            let module = self.source.add_module(file, Some(self.module));
            self.source
                .name(self.module, &item.ident, Name::Module(module));
            self.source.parse_file(self.files, module, &directory);
            return;
        };
        let module = self.source.add_module(parent, Some(self.module));
        self.source
            .name(self.module, &item.ident, Name::Module(module));
        let mut reader = Reader {
            source: self.source,
            files: self.files,
            module,
            directory,
            depth: 0,
        };
        for item in items {
            reader.visit_item(item);
        }
    }

    fn define(&mut self, item: &syn::Item) {
        let (ident, visibility) = match item {
            syn::Item::Const(item) => (&item.ident, None),
            syn::Item::Fn(item) => (&item.sig.ident, None),
            syn::Item::Static(item) => (&item.ident, None),
            syn::Item::Enum(item) => (&item.ident, Some(&item.vis)),
            syn::Item::Struct(item) => (&item.ident, Some(&item.vis)),
            syn::Item::Trait(item) => (&item.ident, Some(&item.vis)),
            syn::Item::TraitAlias(item) => (&item.ident, Some(&item.vis)),
            syn::Item::Type(item) => (&item.ident, Some(&item.vis)),
            syn::Item::Union(item) => (&item.ident, Some(&item.vis)),
            _ => return,
        };
        self.source.name(self.module, ident, Name::Item);
        if let Some(visibility) = visibility {
            self.source.types.push(TypeName {
                name: text(ident),
                file: self.source.modules[self.module.0].file,
                is_visible: !matches!(visibility, Visibility::Inherited),
            });
        }
    }

    /// Finds the paths in tokens that are not parsed: the arguments of a macro or of an attribute.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) if begins_path(&tokens[..at], first) => {
                    let line = first.span().start().line;
                    let mut path = vec![text(first)];
                    while let Some(next) = continues_path(&tokens[at + 1..]) {
                        path.push(text(next));
                        at += 3;
                    }
                    let is_macro = is_punct(tokens.get(at + 1), '!');
                    self.mention(path, line, is_macro);
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if attributes(item).iter().any(is_for_tests) {
            return;
        }
        if self.depth == 0 {
            self.define(item);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.ident != "tests" {
            self.child(item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[]);
        }
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        if let Some(name) = &item.ident {
            let file = self.source.modules[self.module.0].file;
            self.source.macros.insert(text(name), file);
            self.source.name(self.module, name, Name::Item);
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.depth += 1;
        visit::visit_block(self, block);
        self.depth -= 1;
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Macro(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            _ => return,
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !field.attrs.iter().any(is_for_tests) {
            visit::visit_field(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !variant.attrs.iter().any(is_for_tests) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_field_value(&mut self, value: &'ast syn::FieldValue) {
        if !value.attrs.iter().any(is_for_tests) {
            visit::visit_field_value(self, value);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !arm.attrs.iter().any(is_for_tests) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !local.attrs.iter().any(is_for_tests) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| text(&segment.ident));
            self.mention(names.collect(), path.span().start().line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if call.path.leading_colon.is_none() {
            let names = call
                .path
                .segments
                .iter()
                .map(|segment| text(&segment.ident));
            self.mention(names.collect(), call.span().start().line, true);
        }
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }
}

/// Whether this attribute leaves its item to tests alone.
fn is_for_tests(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list
            .parse_args::<Meta>()
            .is_ok_and(|condition| needs_tests(&condition)),
        meta => meta.path().is_ident("test"),
    }
}

/// Whether a condition of `cfg` holds in tests alone; the feature `test` counts as one.
fn needs_tests(condition: &Meta) -> bool {
    let all = |list: &syn::MetaList| {
        let parts = list.parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated);
        parts.map_or_else(|_| Vec::new(), |parts| parts.into_iter().collect())
    };
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::NameValue(pair) => {
            let value = &pair.value;
            let is_test = matches!(value, syn::Expr::Lit(literal)
                if matches!(&literal.lit, syn::Lit::Str(text) if text.value() == "test"));
            pair.path.is_ident("feature") && is_test
        }
        Meta::List(list) if list.path.is_ident("all") => all(list).iter().any(needs_tests),
        Meta::List(list) if list.path.is_ident("any") => all(list).iter().all(needs_tests),
        Meta::List(_) => false,
    }
}

fn attributes(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::TraitAlias(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn text(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// Whether a path of this crate can begin with a word after these tokens.
fn begins_path(before: &[TokenTree], first: &Ident) -> bool {
    let Some(TokenTree::Punct(last)) = before.last() else {
        return true;
    };
    let before_last = before.len().checked_sub(2).map(|at| &before[at]);
    match last.as_char() {
        // `x.field`, but not `..path`.
        '.' => is_punct(before_last, '.'),
        // `$name` of a macro, but not `$crate`.
        '$' => first == "crate",
        // `'lifetime`.
        '\'' => false,
        // `::path` of another crate, `<T>::name`.
        ':' => !is_punct(before_last, ':'),
        _ => true,
    }
}

/// The next word of a path, if `::` and a word follow.
fn continues_path(after: &[TokenTree]) -> Option<&Ident> {
    match after {
        [first, second, TokenTree::Ident(next), ..]
            if is_punct(Some(first), ':') && is_punct(Some(second), ':') =>
        {
            Some(next)
        }
        _ => None,
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}
