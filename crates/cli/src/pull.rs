//! `uke pull`: the well-known files of pretrained weights.

use crate::args::PullArgs;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::output::say;
use crate::progress::bytes;
use serde_json::{Value as Json, json};
use ukulele_hub::{Error, Hub, MODELS, Model, find};

/// Runs the command.
pub(crate) fn run(args: &PullArgs, quiet: bool) -> Result<()> {
    let mut hub = Hub::from_environment()?;
    let options = hub.options();
    options.offline |= args.offline;
    if let Some(folder) = &args.cache {
        options.folder.clone_from(folder);
    }
    match args.name.as_deref() {
        None => list(&hub, args.json),
        Some(name) => pull(&hub, name, args, quiet),
    }
}

fn pull(hub: &Hub, name: &str, args: &PullArgs, quiet: bool) -> Result<()> {
    let model = find(name)?;
    if args.verify && !hub.verify(model.name)? && !quiet {
        eprintln!("{name}: a file in the cache was not what it should be; it is fetched again");
    }
    let before = hub.has(model);
    let path = match &args.from {
        Some(file) => hub.import(model.name, file)?,
        None => {
            let bar = bytes(model.name, quiet);
            let pulled = hub.pull(model.name, &mut |progress| {
                if bar.message() != progress.name {
                    bar.set_message(progress.name.to_owned());
                }
                if let Some(total) = progress.total {
                    bar.set_length(total);
                }
                bar.set_position(progress.done);
                !interrupt::asked()
            });
            bar.finish_and_clear();
            match pulled {
                Err(error @ Error::Interrupted { .. }) => return Err(Failure::Interrupted(error.to_string())),
                other => other?,
            }
        }
    };
    if args.json {
        say!("{:#}", json!({"name": model.name, "path": path, "cached": before}))
    } else {
        say!("{}", path.display())
    }
}

fn about(hub: &Hub, model: &Model) -> Json {
    let files = model.files.iter().map(
        |file| json!({"name": file.name, "url": file.url, "mebibytes": file.mebibytes, "check": file.check.to_string()}),
    );
    json!({
        "name": model.name,
        "about": model.about,
        "cached": hub.has(model),
        "path": hub.path(model),
        "files": files.collect::<Vec<_>>(),
    })
}

fn list(hub: &Hub, as_json: bool) -> Result<()> {
    if as_json {
        return say!("{:#}", MODELS.iter().map(|model| about(hub, model)).collect::<Json>());
    }
    say!("{:<34} {:>6}  {:<44} {:<22} address", "name", "MiB", "published by", "known by")?;
    for model in MODELS {
        for (i, file) in model.files.iter().enumerate() {
            let (name, about) = if i == 0 { (model.name, model.about) } else { ("", "") };
            let cached = if i == 0 && hub.has(model) { " (cached)" } else { "" };
            let size = file.mebibytes.map_or_else(|| "?".to_owned(), |size| format!("{size:.0}"));
            let check = file.check.to_string();
            let check = check.get(..18).map_or(check.clone(), |short| format!("{short}.."));
            say!("{name:<34} {size:>6}  {about:<44} {check:<22} {}{cached}", file.url)?;
        }
    }
    Ok(())
}
