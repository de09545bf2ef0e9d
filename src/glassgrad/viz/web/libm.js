/* The C library's functions, under the names by which rules.py calls them: what _libm.py is to Python.

   JavaScript has most of them. V8, the engine of Chrome, Edge and Node, computes them as fdlibm does, to
   about one unit in the last place. Here is what JavaScript lacks, or defines otherwise than C. */

// erf(x) / x for |x| < 1 as a polynomial in x², its interpolation in 12 Chebyshev points: relative error
// 4e-17, computed with mpmath.
const ERF_NEAR_0 = [
  -7.795898827002142e-10, 1.3720064546777686e-8, -1.6208483801871705e-7, 1.6447424703317362e-6, -1.492473690741966e-5,
  0.00012055294904839707, -0.0008548325975389692, 0.0052239776071164225, -0.02686617064323777, 0.11283791670945006,
  -0.37612638903183543, 1.1283791670955126,
];

// (1 + x) exp(x²) erfc(x) for 1 <= x <= 6 as a polynomial in (x - 3) / (x + 3), in 15 points: 2.3e-16, and
// since erfc(x) is below 0.16 there, a third of a unit in the last place of erf(x).
const ERFC_SCALED = [
  -1.3306222464579412e-6, -8.96139154325828e-6, -9.43686785020673e-7, 5.624265301762776e-5, -2.0629633857587096e-5,
  -0.00036731291784849085, 0.0006458193182153172, 0.001618571086647618, -0.009750689458389855, 0.0219577639395186,
  -0.023803913106186635, -0.010235388897852438, 0.09902075367942553, -0.2309273330838144, 0.7160046047255598,
];

/** A polynomial, given by its coefficients from the highest on. */
function polynomial(coefficients, x) {
  let y = 0;
  for (const c of coefficients) y = y * x + c;
  return y;
}

function erf(x) {
  const t = Math.abs(x);
  if (t < 1) return x * polynomial(ERF_NEAR_0, x * x);
  if (t >= 6) return Math.sign(x); // less 2e-17
  return Math.sign(x) * (1 - (Math.exp(-t * t) * polynomial(ERFC_SCALED, (t - 3) / (t + 3))) / (1 + t));
}

/** x with the sign of w, which a zero has as well. */
function copysign(x, w) {
  return w < 0 || Object.is(w, -0) ? -Math.abs(x) : Math.abs(x);
}

/** x to the power w. In C 1**nan, 1**inf and (-1)**inf are 1; in JavaScript they are nan. */
function pow(x, w) {
  return x === 1 || (x === -1 && Math.abs(w) === Infinity) ? 1 : x ** w;
}

/** What rules.js calls for everything beyond arithmetic. */
export const libm = {
  NAN: NaN,
  INFINITY: Infinity,
  copysign,
  erf,
  pow,
  fabs: Math.abs,
  acos: Math.acos,
  acosh: Math.acosh,
  asin: Math.asin,
  asinh: Math.asinh,
  atan: Math.atan,
  atan2: Math.atan2,
  atanh: Math.atanh,
  cbrt: Math.cbrt,
  cos: Math.cos,
  cosh: Math.cosh,
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  log2: Math.log2,
  log10: Math.log10,
  sin: Math.sin,
  sinh: Math.sinh,
  sqrt: Math.sqrt,
  tan: Math.tan,
  tanh: Math.tanh,
};
