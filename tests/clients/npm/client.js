#!/usr/bin/env node
// The npm package rtmp-client for the tests: calls both ways, and shared objects as far as it has
// them. ../README.md describes its requests and events.
"use strict";

const readline = require("node:readline");
const { NetConnection, SharedObject } = require("rtmp-client");

const connection = new NetConnection();
const objects = new Map();
let connecting = null;

const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const answer = (id, value) => write({ id, value: toJson(value) });
const refuse = (id, error) => write({ id, error: toJson(error) });
const event = (name, details) => write({ event: name, ...details });

const actions = {
	connect (request) {
		connecting = request.id;
		connection.connect(request.url, ...(request.args || []).map(fromJson));
	},

	call (request) {
		const values = (request.args || []).map(fromJson);
		if (request.responder === false) {
			connection.call(request.name, null, ...values);
			answer(request.id, null);
			return;
		}
		const responder = {
			onResult: (value) => answer(request.id, value),
			onStatus: (info) => refuse(request.id, info),
		};
		connection.call(request.name, responder, ...values);
	},

	answer (request) {
		connection[request.name] = async (...values) => {
			event("call", { name: request.name, args: values.map(toJson) });
			if ("error" in request) {
				throw new Error(request.error);
			}
			return fromJson(request.value);
		};
		answer(request.id, null);
	},

	use (request) {
		const name = request.object;
		const object = SharedObject.get(name, request.persistent || false, connection);
		object.onSync = (list) => event("object", {
			name,
			version: object.version,
			events: list.map(change),
		});
		// The package calls onStatus before onSync for one message; the event with the slots goes first.
		object.onStatus = (info) => queueMicrotask(() => event("object", {
			name,
			version: object.version,
			events: [info.code === "SharedObject.Proxy.Connect"
				? { code: "connect" }
				: { code: "status", info }],
		}));
		objects.set(name, object);
		answer(request.id, null);
	},

	release (request) {
		objects.get(request.object).close();
		answer(request.id, null);
	},

	set (request) {
		objects.get(request.object).setProperty(request.slot, fromJson(request.value));
		answer(request.id, null);
	},

	remove (request) {
		objects.get(request.object).setProperty(request.slot, null);
		answer(request.id, null);
	},

	clear (request) {
		objects.get(request.object).clear();
		answer(request.id, null);
	},

	// The object as this client holds it.
	slots (request) {
		const object = objects.get(request.object);
		const names = object.getPropertyNames();
		answer(request.id, Object.fromEntries(names.map((name) => [name, object.getProperty(name)])));
	},

	close (request) {
		connection.close();
		answer(request.id, null);
	},
};

connection.onStatus = (info) => {
	if (connecting === null) {
		event(info.code === "NetConnection.Connect.Closed" ? "closed" : "status", { info });
		return;
	}
	const id = connecting;
	connecting = null;
	if (info.code === "NetConnection.Connect.Success") {
		answer(id, info);
	}
	else {
		refuse(id, info);
	}
};

function change ({ code, name, newValue }) {
	switch (code) {
		case "clear":
			return { code };
		case "delete":
			return { code, slot: name };
		default:
			return { code, slot: name, value: toJson(newValue) };
	}
}

function toJson (value) {
	if (value === undefined) {
		return { $: "undefined" };
	}
	if (value instanceof Date) {
		return { $: "date", ms: value.valueOf() };
	}
	if (typeof value === "number" && !Number.isFinite(value)) {
		return { $: "number", text: String(value) };
	}
	if (Array.isArray(value) && Object.keys(value).length === value.length) {
		return value.map(toJson);
	}
	if (value !== null && typeof value === "object") {
		return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
	}
	return value;
}

function fromJson (value) {
	if (Array.isArray(value)) {
		return value.map(fromJson);
	}
	if (value === null || typeof value !== "object") {
		return value;
	}
	switch (value.$) {
		case undefined:
			return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromJson(item)]));
		case "undefined":
			return undefined;
		case "date":
			return new Date(value.ms);
		default:
			throw new Error(`rtmp-client has no ${value.$}`);
	}
}

const input = readline.createInterface({ input: process.stdin });
input.on("line", (line) => {
	const request = JSON.parse(line);
	try {
		actions[request.do](request);
	}
	catch (error) {
		refuse(request.id, error.message);
	}
});
input.on("close", () => process.exit());
