//! The jobs of workflows, with their labels: `runs-on` in all its forms, matrices expanded where they are written out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// A job, or one of a matrix's.
pub(super) struct Found {
    /// File, job and what is special to it in its matrix.
    pub(super) place: String,
    pub(super) labels: Labels,
}

pub(super) enum Labels {
    Known(Vec<String>),
    /// With why they cannot be known from the file.
    Unknown(String),
}

type Combination = BTreeMap<String, Value>;

/// Reads a workflow, a folder of them, or JSON lines.
pub(super) fn read(path: &Path) -> Result<Vec<Found>, String> {
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let is_workflow = |path: &Path| path.extension().is_some_and(|end| end == "yml" || end == "yaml");
    let mut files: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_workflow(path)).collect()
    } else if is_workflow(path) {
        vec![path.to_owned()]
    } else {
        return json_lines(&text(path)?).map_err(|error| format!("{}: {error}", path.display()));
    };
    if files.is_empty() {
        return Err(format!("{}: it has no .yml and no .yaml", path.display()));
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let workflow: Value =
            serde_saphyr::from_str(&text(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        for (id, job) in workflow["jobs"].as_object().into_iter().flatten() {
            found.extend(jobs(&format!("{name}: {id}"), job));
        }
    }
    Ok(found)
}

fn json_lines(text: &str) -> Result<Vec<Found>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = lines.map(|(number, line)| {
        let place = format!("line {}", number + 1);
        let labels = serde_json::from_str(line).map_err(|error| format!("{place}: {error}"))?;
        Ok(Found { place, labels: Labels::Known(labels) })
    });
    read.collect()
}

fn jobs(place: &str, job: &Value) -> Vec<Found> {
    let one = |labels| vec![Found { place: place.to_owned(), labels }];
    if let Some(called) = job["uses"].as_str() {
        return one(Labels::Unknown(format!("the workflow {called} says it")));
    }
    let combinations = match combinations(&job["strategy"]["matrix"]) {
        Ok(combinations) => combinations,
        Err(expression) => return one(Labels::Unknown(format!("its matrix is {expression}"))),
    };
    let each = combinations.iter().map(|combination| {
        let mut place = place.to_owned();
        if !combination.is_empty() {
            let values: Vec<_> = combination.values().map(shown).collect();
            let _ = write!(place, " ({})", values.join(", "));
        }
        Found { place, labels: labels(&job["runs-on"], combination) }
    });
    each.collect()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// GitHub's rules: `exclude` removes from the product; an `include` extends the combinations that it does not
/// contradict, or else is one of its own. Source: GitHub's "Workflow syntax", `jobs.<job_id>.strategy.matrix`.
fn combinations(matrix: &Value) -> Result<Vec<Combination>, String> {
    let Some(matrix) = matrix.as_object() else {
        return if matrix.is_null() { Ok(vec![Combination::new()]) } else { Err(shown(matrix)) };
    };
    let mut product = vec![Combination::new()];
    let axes = || matrix.iter().filter(|(key, _)| *key != "include" && *key != "exclude");
    for (key, values) in axes() {
        let values = values.as_array().ok_or_else(|| shown(values))?;
        product = product
            .iter()
            .flat_map(|before| {
                values.iter().map(move |value| {
                    let mut combination = before.clone();
                    combination.insert(key.clone(), value.clone());
                    combination
                })
            })
            .collect();
    }
    if axes().next().is_none() {
        product.clear();
    }
    let has = |combination: &Combination, entry: &Map<String, Value>| {
        entry.iter().all(|(key, value)| combination.get(key) == Some(value))
    };
    for entry in objects(matrix.get("exclude"))? {
        product.retain(|combination| !has(combination, entry));
    }
    let mut alone = Vec::new();
    for entry in objects(matrix.get("include"))? {
        let of_axes: Map<String, Value> = entry
            .iter()
            .filter(|(key, _)| axes().any(|(axis, _)| axis == *key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let mut is_added = false;
        for combination in product.iter_mut().filter(|combination| has(combination, &of_axes)) {
            combination.extend(entry.clone());
            is_added = true;
        }
        if !is_added {
            alone.push(entry.clone().into_iter().collect());
        }
    }
    product.extend(alone);
    Ok(product)
}

fn objects(entries: Option<&Value>) -> Result<Vec<&Map<String, Value>>, String> {
    match entries {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(entries)) => {
            entries.iter().map(|entry| entry.as_object().ok_or_else(|| shown(entry))).collect()
        }
        Some(other) => Err(shown(other)),
    }
}

fn labels(runs_on: &Value, combination: &Combination) -> Labels {
    let runs_on = match runs_on.as_str().and_then(expression) {
        Some(expression) => match lookup(expression, combination) {
            Some(value) => value,
            None => return Labels::Unknown(format!("its labels are ${{{{ {expression} }}}}")),
        },
        None => runs_on.clone(),
    };
    match &runs_on {
        Value::Object(group) => match group.get("labels") {
            Some(labels) if !labels.is_null() => self::labels(labels, combination),
            _ => Labels::Unknown(format!("it names only the group {}", shown(&runs_on["group"]))),
        },
        Value::Array(labels) => {
            let resolved: Vec<_> = labels.iter().map(|label| resolve(&shown(label), combination)).collect();
            resolved.into_iter().collect::<Result<_, _>>().map_or_else(Labels::Unknown, Labels::Known)
        }
        Value::Null => Labels::Unknown("it has no runs-on".to_owned()),
        label => resolve(&shown(label), combination).map_or_else(Labels::Unknown, |label| Labels::Known(vec![label])),
    }
}

/// What is between the braces, if the text is one expression.
fn expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    (!inside.contains("${{")).then(|| inside.trim())
}

/// Replaces expressions in a label.
fn resolve(label: &str, combination: &Combination) -> Result<String, String> {
    let mut resolved = String::new();
    let mut rest = label;
    while let Some((before, after)) = rest.split_once("${{") {
        let (inside, after) = after.split_once("}}").ok_or_else(|| format!("{label:?} is not an expression"))?;
        let value = lookup(inside.trim(), combination).ok_or_else(|| format!("a label is {label}"))?;
        resolved.push_str(before);
        resolved.push_str(&shown(&value));
        rest = after;
    }
    Ok(resolved + rest)
}

/// The value of an expression that the file itself knows, or that only makes a label unique: then any number will do.
fn lookup(expression: &str, combination: &Combination) -> Option<Value> {
    if matches!(expression, "github.run_id" | "github.run_attempt" | "github.run_number" | "strategy.job-index") {
        return Some(Value::from(1));
    }
    let mut path = expression.strip_prefix("matrix.")?.split('.');
    let mut value = combination.get(path.next()?)?;
    for key in path {
        value = value.get(key)?;
    }
    // A matrix may hold expressions, too.
    let is_plain = !value.to_string().contains("${{");
    is_plain.then(|| value.clone())
}
