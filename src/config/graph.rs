//! Who waits for whom: unknown names, and circles, each told as `a -> b -> a`.

use std::collections::HashMap;

use super::problem::{At, Fault};

/// A task or a group: its name, where its dependencies are written, the group it is in.
#[derive(Debug)]
pub(super) struct Vertex<'a> {
    pub(super) name: &'a str,
    pub(super) at: At,
    pub(super) is_group: bool,
    pub(super) group: Option<&'a str>,
    pub(super) dependencies: Vec<(&'a str, At)>,
}

/// What is wrong with the dependencies of the DAG `place`.
pub(super) fn check(vertices: &[Vertex<'_>], place: &str) -> Vec<Fault> {
    let index: HashMap<&str, usize> =
        vertices.iter().enumerate().map(|(i, vertex)| (vertex.name, i)).collect();
    let mut faults = Vec::new();
    for vertex in vertices {
        for (name, at) in &vertex.dependencies {
            if !index.contains_key(name) {
                let message = format!("{} waits for {name:?}, which is not in {place}", vertex.name);
                faults.push(Fault::new(*at, message).suggest(name, vertices.iter().map(|other| other.name)));
            }
        }
    }
    let mut walk = Walk {
        vertices,
        edges: edges(vertices, &index),
        state: vec![State::New; vertices.len()],
        path: vec![],
    };
    for start in 0..vertices.len() {
        walk.visit(start, &mut faults);
    }
    faults
}

/// For every vertex, those that come before it: a task also waits for what its group waits for, and who waits for a
/// group waits for its tasks.
fn edges(vertices: &[Vertex<'_>], index: &HashMap<&str, usize>) -> Vec<Vec<usize>> {
    let waits = |vertex: &Vertex<'_>| -> Vec<usize> {
        vertex.dependencies.iter().filter_map(|(name, _)| index.get(name).copied()).collect()
    };
    let before = |(position, vertex): (usize, &Vertex<'_>)| {
        if vertex.is_group {
            let members = vertices.iter().enumerate().filter(|(_, other)| other.group == Some(vertex.name));
            let mut before: Vec<usize> = members.map(|(member, _)| member).collect();
            before.extend(waits(vertex).into_iter().filter(|other| *other == position));
            return before;
        }
        let group = vertex.group.and_then(|name| index.get(name));
        let mut before = waits(vertex);
        before.extend(group.map(|group| waits(&vertices[*group])).unwrap_or_default());
        before
    };
    vertices.iter().enumerate().map(before).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    vertices: &'a [Vertex<'a>],
    edges: Vec<Vec<usize>>,
    state: Vec<State>,
    path: Vec<usize>,
}

impl Walk<'_> {
    /// Depth first, without recursion: a chain of tasks may be long.
    fn visit(&mut self, start: usize, faults: &mut Vec<Fault>) {
        let mut stack = vec![(start, 0)];
        while let Some((vertex, next)) = stack.pop() {
            if next == 0 {
                if self.state[vertex] != State::New {
                    continue;
                }
                self.state[vertex] = State::Open;
                self.path.push(vertex);
            }
            let Some(&before) = self.edges[vertex].get(next) else {
                self.state[vertex] = State::Done;
                self.path.pop();
                continue;
            };
            stack.push((vertex, next + 1));
            match self.state[before] {
                State::New => stack.push((before, 0)),
                State::Open => faults.push(self.circle(before)),
                State::Done => {}
            }
        }
    }

    fn circle(&self, start: usize) -> Fault {
        let begin = self.path.iter().position(|vertex| *vertex == start).unwrap_or_default();
        let names = self.path[begin..].iter().chain([&start]).map(|vertex| self.vertices[*vertex].name);
        let names: Vec<&str> = names.collect();
        Fault::new(self.vertices[start].at, format!("tasks wait for each other: {}", names.join(" -> ")))
    }
}
