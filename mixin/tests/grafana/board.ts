// What the parts of a board may be, by Grafana's own types: those of its schema, and where the schema leaves a text open,
// those of the code that reads it. grafana_test.go writes each part of each board as a literal of one of the types
// exported here and has them compiled, against the oldest and the newest Grafana that boards are for. A literal may have
// nothing that its type has not.
import type * as data from '@grafana/data';
import type { PromQuery, PromVariableQuery } from '@grafana/prometheus';
import type * as schema from '@grafana/schema';
import type * as barGauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as gauge from '@grafana/schema/dist/esm/raw/composable/gauge/panelcfg/x/GaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as stateTimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { Unit } from './units'; // what @grafana/data lists, written by grafana_test.go

// Exceptions: what Grafana reads or writes although its schema lacks it, each with the reason.

// The schema has one model for all kinds of variables. That of @grafana/data, which Grafana reads them by, has for a
// query a definition, what the settings list of it, and for any the current {}: nothing is chosen yet.
type VariableExtras = { current?: schema.VariableOption | Record<string, never> };
type QueryVariableExtras = VariableExtras & Pick<data.QueryVariableModel, 'definition'>;

// Prometheus' data source reads these, and the schema says nothing of what a data source adds. expr and step belong into
// target since Grafana 11.6.2, which moves them there; before it they count here only.
type AnnotationExtras = { expr: string; step: string; titleFormat: string };

// What hides a column is custom.hidden up to Grafana 12.1 and custom.hideFrom.viz since, and each passes over the other's.
// No type says that a part of hideFrom is a property of its own.
type TableProperty = { id: 'custom.hidden' | 'custom.hideFrom.viz'; value: boolean };

// 39 is that of Grafana 11.0. Later ones migrate a board of it by themselves; 42 is the last, and Grafana 12.0 and 12.1,
// whose own is 41, count a newer one as a failed migration. What 40 to 42 changed is in no board: a refresh that is no
// text, time_options of the time picker, and hideFrom without tooltip.
type SchemaVersion = { schemaVersion: 39 };

// Grafana's names of colours, which its types leave open. It takes those of CSS too, but no theme fits them to its
// background.
type Shade = '' | 'super-light-' | 'light-' | 'semi-dark-' | 'dark-';
type Colour = `${Shade}${'red' | 'orange' | 'yellow' | 'green' | 'blue' | 'purple'}` | 'transparent' | 'text' | `#${string}`;

// JSONOf is T as it stands in JSON, where an enum is the text that it stands for.
type JSONOf<T> =
  unknown extends T ? T
  : T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : { [Key in keyof T]:
        Key extends 'calcs' ? `${data.ReducerID}`[]
        : Key extends 'color' | 'fixedColor' | 'iconColor' ? T[Key] extends string | undefined ? Colour : JSONOf<T[Key]>
        : JSONOf<T[Key]> };

// The kinds of panels: what their options are, and what a field has beside what all have. An option that is left out is
// as the panel comes; one that is there has to be whole.
type Kinds = {
  bargauge: { options: barGauge.Options; field: {} };
  gauge: { options: gauge.Options; field: {} };
  stat: { options: stat.Options; field: {} };
  'state-timeline': { options: stateTimeline.Options; field: stateTimeline.FieldConfig };
  table: { options: table.Options; field: table.FieldConfig };
  text: { options: text.Options; field: {} };
  timeseries: { options: timeSeries.Options; field: timeSeries.FieldConfig };
};

// The first step of thresholds has to be for all that is less, which JSON writes as null; the schema says it in words.
type Thresholds = Omit<schema.ThresholdsConfig, 'steps'> & {
  steps: [schema.Threshold & { value: null }, ...(schema.Threshold & { value: number })[]];
};

type Field = Omit<schema.FieldConfig, 'custom' | 'links' | 'thresholds' | 'unit'> & {
  links?: Pick<data.DataLink, 'title' | 'url' | 'targetBlank'>[];
  thresholds?: Thresholds;
  unit?: Unit;
};

// A property that overrides says by its id what its value is.
type Standard = `${data.FieldConfigProperty}` & keyof Field;
type Property<Custom> =
  | { [Key in Standard]: { id: Key; value: Exclude<Field[Key], undefined> } }[Standard]
  | { [Key in keyof Custom & string]-?: { id: `custom.${Key}`; value: Exclude<Custom[Key], undefined> } }[keyof Custom & string];

type Override<Kind extends keyof Kinds> = {
  matcher: { id: data.FieldMatcherID.byName | data.FieldMatcherID.byRegexp; options: string };
  properties: (Property<Kinds[Kind]['field']> | (Kind extends 'table' ? TableProperty : never))[];
};

type Transformers = typeof data.standardTransformers;
type OptionsOf<Name extends keyof Transformers> = Transformers[Name] extends data.DataTransformerInfo<infer Options> ? Partial<Options> : never;
type Transformation = Omit<schema.DataTransformerConfig, 'id' | 'options'> & (
  | { id: data.DataTransformerID.filterFieldsByName; options: OptionsOf<'filterFieldsByNameTransformer'> }
  | { id: data.DataTransformerID.merge; options: Record<string, never> }
  | { id: data.DataTransformerID.organize; options: OptionsOf<'organizeFieldsTransformer'> }
);

type PanelOf<Kind extends keyof Kinds> = Omit<schema.Panel, 'fieldConfig' | 'options' | 'targets' | 'transformations' | 'type'> & {
  type: Kind;
  options: Partial<Kinds[Kind]['options']>;
  fieldConfig?: { defaults: Field & { custom?: Partial<Kinds[Kind]['field']> }; overrides: Override<Kind>[] };
  targets?: PromQuery[];
  transformations?: Transformation[];
};

type VariableOf<Kind extends schema.VariableModel['type'], Query> = Omit<schema.VariableModel, 'current' | 'query' | 'type'> & {
  type: Kind;
  query: Query;
};

export type Board = JSONOf<Omit<schema.Dashboard, 'annotations' | 'panels' | 'schemaVersion' | 'templating'> & SchemaVersion>;
export type Variable = JSONOf<
  | VariableOf<'query', PromVariableQuery> & QueryVariableExtras
  | VariableOf<'datasource', 'prometheus'> & VariableExtras
>;
export type Annotation = JSONOf<schema.AnnotationQuery<PromQuery> & AnnotationExtras>;
export type Row = JSONOf<Omit<schema.RowPanel, 'panels'>>;
export type Panel<Kind extends keyof Kinds> = JSONOf<PanelOf<Kind>>;
