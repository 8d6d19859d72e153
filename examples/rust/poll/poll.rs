//! The application: a question for each instance, and everybody's vote.

use std::collections::HashMap;

use tributary_origin::app::{
    Admission, Answer, Application, Call, CallToken, ClientId, Context, Rejection, Responder,
    read_arguments,
};
use tributary_protocol::{
    amf::{Object, Value},
    command::Connect,
    link::CloseReason,
};

/// One poll. The first client asks the question; the others vote.
///
/// | call | result |
/// |---|---|
/// | `ask(question, [options])` | true; of the first client alone, once |
/// | `vote(option)` | the counts; a second vote replaces the first |
/// | `close()` | the counts, once the client that asked has answered `confirm()` with true |
///
/// Clients are called: `onQuestion(question, options)`, `onCounts(counts)`, `onClosed(counts)`.
#[derive(Debug, Default)]
pub(crate) struct Poll {
    owner: Option<ClientId>,
    question: Option<Question>,
    /// Calls of `close` whose answer waits for the owner's.
    closing: HashMap<CallToken, Responder>,
    last_token: u64,
}

#[derive(Debug)]
struct Question {
    text: String,
    options: Vec<String>,
    votes: HashMap<ClientId, usize>,
    is_closed: bool,
}

/// How many options a question may have.
const MOST_OPTIONS: usize = 10;

impl Application for Poll {
    fn connect(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        connect: &Connect,
    ) -> Admission {
        let Ok((name,)) = read_arguments::<(String,)>(&connect.arguments) else {
            return Admission::Reject(Rejection {
                description: Some("Say who you are.".to_owned()),
                ..Rejection::default()
            });
        };
        tracing::info!(group = %context.name(), name, "joins the poll");
        self.owner.get_or_insert(client);
        if let Some(question) = &self.question {
            // A pending client gets it after the answer to its connect.
            question.tell(context, client);
        }
        Admission::Accept
    }

    fn disconnect(&mut self, context: &mut Context<'_>, client: ClientId, _: CloseReason) {
        if self.owner == Some(client) {
            self.owner = None;
        }
        if let Some(question) = &mut self.question
            && question.votes.remove(&client).is_some()
        {
            context.broadcast("onCounts", &[question.counts()]);
        }
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let client = call.responder.client;
        let answer = match call.name.as_str() {
            "ask" => call
                .read()
                .map(|(text, options)| self.ask(context, client, text, options)),
            "vote" => call
                .read()
                .map(|(option,): (String,)| self.vote(context, client, &option)),
            "close" => Ok(self.close(context, call.responder)),
            _ => Ok(Answer::Unknown),
        };
        // The `_error` describes the wrong argument.
        answer.unwrap_or_else(Answer::from)
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        _: ClientId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let Some(responder) = self.closing.remove(&token) else {
            return;
        };
        let counts = match (&mut self.question, answer) {
            (Some(question), Ok(Value::Bool(true))) => {
                question.is_closed = true;
                Ok(question.counts())
            }
            _ => Err(Value::from("the owner does not want it")),
        };
        if let Ok(counts) = &counts {
            context.broadcast("onClosed", std::slice::from_ref(counts));
        }
        context.respond(responder, counts);
    }
}

impl Poll {
    fn ask(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        text: String,
        options: Vec<String>,
    ) -> Answer {
        if self.owner != Some(client) || self.question.is_some() {
            return error("there is a question, or somebody else asks it");
        }
        if !(2..=MOST_OPTIONS).contains(&options.len()) {
            return error("a question has 2 to 10 options");
        }
        let question = self.question.insert(Question {
            text,
            options,
            votes: HashMap::new(),
            is_closed: false,
        });
        context.broadcast("onQuestion", &question.arguments());
        Answer::Result(Value::Bool(true))
    }

    fn vote(&mut self, context: &mut Context<'_>, client: ClientId, option: &str) -> Answer {
        let Some(question) = self.question.as_mut().filter(|it| !it.is_closed) else {
            return error("nothing is asked");
        };
        let chosen = question.options.iter().position(|text| text == option);
        let Some(chosen) = chosen else {
            return error("there is no such option");
        };
        question.votes.insert(client, chosen);
        let counts = question.counts();
        context.broadcast("onCounts", std::slice::from_ref(&counts));
        Answer::Result(counts)
    }

    /// Asks the owner first: the answer to the call comes when the owner has answered.
    fn close(&mut self, context: &mut Context<'_>, responder: Responder) -> Answer {
        let Some(owner) = self.owner.filter(|_| self.question.is_some()) else {
            return error("nothing is asked");
        };
        self.last_token += 1;
        let token = CallToken(self.last_token);
        if !context.call(owner, "confirm", &[], Some(token)) {
            return error("the owner cannot be asked");
        }
        self.closing.insert(token, responder);
        Answer::Deferred
    }
}

impl Question {
    fn arguments(&self) -> [Value; 2] {
        let options = self.options.iter().map(|text| Value::from(text.as_str()));
        [
            Value::from(self.text.as_str()),
            Value::StrictArray(options.collect()),
        ]
    }

    fn tell(&self, context: &mut Context<'_>, client: ClientId) {
        // A client that is gone needs no question.
        let _ = context.call(client, "onQuestion", &self.arguments(), None);
    }

    /// How many votes each option has.
    fn counts(&self) -> Value {
        let mut counts = Object::new();
        for (index, text) in self.options.iter().enumerate() {
            let votes = self.votes.values().filter(|vote| **vote == index).count();
            counts.push(text.as_str(), Value::from(votes as f64));
        }
        Value::Object(counts)
    }
}

fn error(text: &str) -> Answer {
    Answer::Error(Value::from(text))
}
