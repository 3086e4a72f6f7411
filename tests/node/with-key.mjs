// Preloaded into a program that sends no credentials: each of its requests gets the key in WEIR_KEY.
import { subscribe } from 'node:diagnostics_channel';

const credential = `Bearer ${process.env.WEIR_KEY}`;
subscribe('undici:request:create', ({ request }) => request.addHeader('authorization', credential));
subscribe('http.client.request.created', ({ request }) => request.setHeader('authorization', credential));
