// Package look is what the report and the live page have in common: the palette, and how numbers are said to people.
//
//   - CSS is the palette, light and dark: custom properties and nothing else.
//   - Number, Ratio, Odds and Often say an energy, an energy against the expected one, a p-value, and how often chance alone would do
//     as much.
//   - JS says the same in a browser, as `look.number` and so on (TestTheBrowserSaysTheSame).
//
// What it keeps to:
//
//  1. Text has a contrast of 4.5 to 1 or more on every ground it stands on, marks 3 to 1 (WCAG 2.2 AA), in both palettes (TestContrast).
//  2. Verdicts differ for those who see red, green or blue less as well, and never by their colour alone (TestVerdictsDifferForEveryEye).
//  3. No probability is said more exactly than a calibration can know it: two digits, and no rarer than a thousand years.
package look
